"""The people that come with the program: a parametric head, three avatars and a performer. See data/PROVENANCE.txt."""

from capture.synthetic.avatars import AVATAR_NAMES as BUILTIN_AVATARS
from capture.synthetic.avatars import builtin_avatar_path

__all__ = ["BUILTIN_AVATARS", "builtin_avatar_path"]
