"""The units by which avatars are moved: what several artists agree on, on the built-in head's mesh.

Performers (`capture.synthetic`) move as one artist has it; what a unit is on everybody's head should be no one's taste.
`tools.assets.make_units` makes the file.
"""

import functools
from dataclasses import replace
from pathlib import Path
from typing import Final

from capture.synthetic.head.head_data import HeadData, load_head_data, load_targets

TEMPLATE_UNITS_FILE: Final = Path(__file__).parents[1] / "data" / "template_units.npz"


@functools.cache
def template_data() -> HeadData:
    """The built-in head with these units; blinks, gaze and tongue are its own. Raises InputError where a file is
    missing or damaged."""
    data = load_head_data()
    return replace(data, targets={**data.targets, **load_targets(TEMPLATE_UNITS_FILE, len(data.vertices))})
