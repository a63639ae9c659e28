"""Which cameras are there, for `vfa devices`."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from core.errors import InputError, install_line


@dataclass(frozen=True)
class DeviceRow:
    """kind, serial number or UDID or file ("" unknown), state, and what to give as --device or to do next."""

    kind: str
    identity: str
    state: str
    hint: str


def list_devices() -> list[DeviceRow]:
    """Every camera and microphone of a kind we know, and a row per kind that cannot be looked for or
    of which there is none."""
    return [*_kinects(), *_phones(), *_webcams(), *_microphones()]


def _kinects() -> list[DeviceRow]:
    from capture.cameras.kinect import list_kinects

    try:
        rows = [
            DeviceRow("kinect", serial, state, f"--device kinect:{serial}" if serial else "")
            for serial, state in list_kinects()
        ]
    except InputError as error:
        return [DeviceRow("kinect", "", "not available", str(error))]
    except Exception as error:  # the vendor's library raises bare exceptions
        return [DeviceRow("kinect", "", "not available", f"cameras cannot be listed ({error}); plug them in again")]
    return rows or [DeviceRow("kinect", "", "none found", "plug it into USB 3 and its power supply")]


def _phones() -> list[DeviceRow]:
    if importlib.util.find_spec("record3d") is None:
        hint = f'needs the extra "record3d": {install_line("record3d")}'
        return [DeviceRow("record3d", "", "not available", hint)]
    from capture.cameras.record3d_child import list_phones

    try:
        udids = list_phones()
    except OSError as error:
        return [DeviceRow("record3d", "", "not available", str(error))]
    rows = [DeviceRow("record3d", udid, "connected", f"--device record3d:{udid}") for udid in udids]
    return rows or [DeviceRow("record3d", "", "none found", "plug the phone in, unlock it and start Record3D")]


def _webcams() -> list[DeviceRow]:
    from capture.cameras.webcam import listed_cameras

    rows = []
    for path in listed_cameras():
        number = path.removeprefix("/dev/video")
        rows.append(DeviceRow("webcam", path, "listed", f"--device webcam:{number}"))
    return rows or [DeviceRow("webcam", "", "none found", "plug it in; elsewhere than on Linux try --device webcam:0")]


def _microphones() -> list[DeviceRow]:
    if importlib.util.find_spec("sounddevice") is None:
        hint = f'needs the extra "audio": {install_line("audio")}'
        return [DeviceRow("microphone", "", "not available", hint)]
    from capture.sound.microphone import list_microphones

    try:
        found = list_microphones()
    except InputError as error:
        return [DeviceRow("microphone", "", "not available", str(error))]
    rows = [
        DeviceRow(
            "microphone", f"{each.name}, {each.host}", "default" if each.default else "listed", f"--audio {each.number}"
        )
        for each in found
    ]
    return rows or [DeviceRow("microphone", "", "none found", "plug it in")]
