"""The end of a session: its manifest says that it is complete, what happened, and what its files are."""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.errors import InputError
from core.writable import next_step, reason_of
from realtime.session.folder_names import (
    ANIMATION_NAME,
    EVENTS_NAME,
    MANIFEST_NAME,
    OBSERVATIONS_NAME,
    PICTURES_NAME,
    POSES_NAME,
    WHOLE_NAMES,
    partial_of,
)
from realtime.session.manifest import Manifest, read_events, read_manifest
from realtime.session.observation_records import OBSERVATION, read_observations
from realtime.session.picture_records import PICTURE
from realtime.session.poses import read_track
from realtime.session.reader import gaps_in
from realtime.session.record_file import count_of

_CHUNK = 1 << 20


def unfinished(folder: Path) -> list[Path]:
    """Files of a session that are not whole yet."""
    names = [*(partial_of(folder / name).name for name in WHOLE_NAMES), POSES_NAME]
    return [folder / name for name in dict.fromkeys(names) if (folder / name).is_file()]


def seal(folder: Path, lost: dict[str, int] | None = None) -> Manifest | None:
    """Complete the manifest of a session whose other files are whole; None where they are not, or there is none. Can be
    repeated if interrupted.

    Args:
        lost: what could not be kept, where it is known.

    Raises InputError where a file cannot be read or the manifest cannot be written.
    """
    if unfinished(folder) or not (folder / MANIFEST_NAME).is_file():
        return None
    manifest = read_manifest(folder)
    log = folder / EVENTS_NAME
    events = read_events(log) if log.is_file() else manifest.events
    track = read_track(folder)
    if track is None or not len(track):
        return None
    observations = read_observations(folder)
    sealed = replace(
        manifest,
        complete=True,
        ended_s=float(track.timestamps_s[-1]),
        frames=len(track),
        lost=manifest.lost if lost is None else lost,
        events=events,
        gaps=gaps_in(observations, replace(manifest, events=events)),
        files={
            name: facts(folder / name) for name in WHOLE_NAMES if name != MANIFEST_NAME and (folder / name).exists()
        },
    )
    try:
        sealed.write(folder)
        log.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder / MANIFEST_NAME}: cannot be written ({reason_of(error)}); {next_step(error)} and run  "
            f"vfa session repair {folder}"
        ) from None
    return sealed


def facts(path: Path) -> dict[str, Any]:
    """What a manifest says of a file: its length, and a checksum of those that bring none themselves. Raises InputError
    where it cannot be read."""
    try:
        told: dict[str, Any] = {"bytes": path.stat().st_size}
        if path.name != ANIMATION_NAME:  # an archive knows its own
            told["crc32"] = crc32_of(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({reason_of(error)})") from None
    if path.name == OBSERVATIONS_NAME:
        told["records"] = count_of(path, OBSERVATION)
    elif path.name == PICTURES_NAME:
        told["records"] = count_of(path, PICTURE)
    return told


def crc32_of(path: Path) -> int:
    """Of all of a file. Raises OSError."""
    crc = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            crc = zlib.crc32(chunk, crc)
    return crc
