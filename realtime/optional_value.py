"""Options that may stand alone: `--virtual-camera`, or `--virtual-camera NAME`."""

import os
from typing import Annotated

from tyro.constructors import PrimitiveConstructorSpec

from core.errors import InputError

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
