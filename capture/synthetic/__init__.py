"""People who do not exist: a parametric `head`, the built-in `performer`, and the `studio` that films ground truth.

Start with `avatars`, the heads that come with the program. What makes the shipped files is `tools.assets`.
"""

from capture.synthetic.avatars import AVATAR_NAMES as BUILTIN_AVATARS
from capture.synthetic.avatars import builtin_avatar_path

__all__ = ["BUILTIN_AVATARS", "builtin_avatar_path"]
