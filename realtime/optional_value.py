"""Options that may stand alone: `--virtual-camera`, or `--virtual-camera NAME`; values that look like options: -z."""

import os
from collections.abc import Sequence
from typing import Annotated, get_args

from tyro.constructors import PrimitiveConstructorSpec

from calib.preparation_options import MorphsUse
from core.errors import InputError

_AXIS_OPTIONS, _AXES = ("--up", "--front"), ("-x", "-y", "-z")
_MORPHS = "--morphs"
_SOURCES = ("webcam:", "kinect:", "record3d:")


def _one(words: list[str]) -> str:
    if len(words) > 1:
        raise ValueError(f"expected one name at most, got {' '.join(words)}; put what drives before the option")
    return words[0] if words else ""


OptionalValue = Annotated[
    str | None,
    PrimitiveConstructorSpec(
        nargs="*",
        metavar="[NAME]",
        instance_from_str=_one,
        is_instance=lambda value: value is None or isinstance(value, str),
        str_from_instance=lambda value: ["None"] if value is None else [value] if value else [],
    ),
]
"""None: not given; empty: given alone; otherwise its value."""


def refuse_source(option: str, value: str | None) -> None:
    """Raises InputError where what should drive was taken for the option's value: `--virtual-camera clip.mp4`."""
    if value and not value.startswith("/dev/") and (os.path.isfile(value) or value.startswith(_SOURCES)):
        raise InputError(
            f"{option} {value}: expected the name of a device, this is something that drives; put it before the option "
            f"or give it as --device {value}"
        )


def with_values(words: Sequence[str]) -> list[str]:
    """The words of a command line as the parser takes them rightly: `--front -z` becomes `--front=-z`, as it would take
    -z for an option; `--morphs` alone becomes `--morphs=on`, so that what comes after it is no value of it."""
    found: list[str] = []
    for word in words:
        before = found[-1] if found else ""
        if (before in _AXIS_OPTIONS and word in _AXES) or (before == _MORPHS and word in get_args(MorphsUse)):
            found[-1] = f"{before}={word}"
            continue
        if before == _MORPHS:
            found[-1] = f"{_MORPHS}=on"
        found.append(word)
    if found and found[-1] == _MORPHS:
        found[-1] = f"{_MORPHS}=on"
    return [f"{_MORPHS}=off" if word == "--no-morphs" else word for word in found]
