"""Is a session what its manifest says, and can all of it be read?"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from core.errors import InputError
from core.untrusted import opened_zip
from core.writable import reason_of
from realtime.session.folder_lock import is_written
from realtime.session.folder_names import (
    ANIMATION_NAME,
    COLOR_NAME,
    DEPTH_NAME,
    MANIFEST_NAME,
    OBSERVATIONS_NAME,
    PICTURES_NAME,
    PREVIEW_NAME,
    WHOLE_NAMES,
)
from realtime.session.manifest import Manifest, read_manifest
from realtime.session.observation_records import OBSERVATION, Kind, sound_count
from realtime.session.poses import read_track
from realtime.session.reader import is_session
from realtime.session.record_file import records_of
from realtime.session.sealing import crc32_of, unfinished

_CHUNK = 1 << 20
_COPY = "bring it back from a copy"
_WITH_MANIFEST = (OBSERVATIONS_NAME, PICTURES_NAME)  # earlier versions wrote none of them
_FILMS = (PREVIEW_NAME, COLOR_NAME, DEPTH_NAME)


def check(folder: Path) -> list[str]:
    """What is wrong with a session, a line each, the next step with it; empty where nothing is. Reads all of it.

    Of one that is being recorded at this moment nothing is read.

    Raises InputError where there is no session, and no recording of an older version either.
    """
    if is_written(folder):
        return [f"{folder}: is being recorded at this moment; check it again once that has ended"]
    found = [f"{path.name}: is not complete; run  vfa session repair {folder}" for path in unfinished(folder)]
    manifest: Manifest | None = None
    if is_session(folder):
        try:
            manifest = read_manifest(folder)
        except InputError as error:
            found.append(_told(error))
    elif not found and not (folder / ANIMATION_NAME).is_file():
        raise InputError(f"{folder}: expected the folder of a session, found none; check the path")
    elif any((folder / name).exists() for name in _WITH_MANIFEST):
        found.append(f"{MANIFEST_NAME}: is missing, without it nothing is played; bring it back from a copy")
    if manifest is not None and not manifest.complete and not found:
        found.append(f"{MANIFEST_NAME}: does not say how the session ended; run  vfa session repair {folder}")
    for name in WHOLE_NAMES:
        if name != MANIFEST_NAME:
            found += _wrong_with(folder / name, manifest)
    return found or _disagreements(folder, manifest)


def _wrong_with(path: Path, manifest: Manifest | None) -> list[str]:
    stated = {} if manifest is None else manifest.files.get(path.name, {})
    if not path.is_file():
        return [f"{path.name}: is missing; {_COPY}"] if stated else []
    if manifest is not None and manifest.complete and not stated:
        return [f"{path.name}: the manifest does not know it; it is of another session: move it elsewhere"]
    try:
        size = path.stat().st_size
        if stated and size != stated.get("bytes"):
            return [f"{path.name}: has {size} bytes, expected {stated.get('bytes')}; {_COPY}"]
        if "crc32" in stated and crc32_of(path) != stated["crc32"]:
            return [f"{path.name}: is damaged, its checksum is another; {_COPY}"]
        return _unreadable(path)
    except OSError as error:
        return [f"{path.name}: cannot be read ({reason_of(error)}); see who may read it"]
    except InputError as error:
        return [_told(error)]


def _unreadable(path: Path) -> list[str]:
    if path.name == ANIMATION_NAME:
        _check_archive(path)
        read_track(path.parent)
    elif path.name == OBSERVATIONS_NAME:
        records = records_of(path, OBSERVATION)
        if (sound := sound_count(records)) != len(records):
            return [f"{path.name}: record {sound} of {len(records)} cannot be; those before it are played, {_COPY}"]
    elif path.name in _FILMS:
        from capture.recordings.video_file import probe_video

        probe_video(path)
    return []


def _check_archive(path: Path) -> None:
    """Read every byte against its checksum. Raises InputError."""
    with opened_zip(path) as archive:
        for entry in archive.infolist():
            if entry.compress_type != zipfile.ZIP_STORED:
                raise InputError(f"{path}: {entry.filename} is compressed, which no session's is")
            try:
                with archive.open(entry) as file:
                    while file.read(_CHUNK):
                        pass
            except Exception as error:  # zipfile raises its own kinds
                raise InputError(f"{path}: {entry.filename} is damaged ({error})") from None


def _disagreements(folder: Path, manifest: Manifest | None) -> list[str]:
    """Files that are whole, and not of one and the same session."""
    track = read_track(folder)
    if manifest is None or track is None:
        return []
    found = []
    if len(track) != manifest.frames:
        found.append(f"{ANIMATION_NAME}: has {len(track)} frames, expected {manifest.frames}; {_COPY}")
    if (path := folder / OBSERVATIONS_NAME).is_file():
        records = records_of(path, OBSERVATION)
        times = records["timestamp_s"][records["kind"] != Kind.NEUTRAL]
        if not np.isin(track.timestamps_s, times).all():
            found.append(f"{OBSERVATIONS_NAME}: lacks frames of {ANIMATION_NAME}; {_COPY}")
    if (folder / COLOR_NAME).is_file() != (folder / PICTURES_NAME).is_file():
        found.append(f"{COLOR_NAME}, {PICTURES_NAME}: expected both or none; {_COPY}")
    return found


def _told(error: InputError) -> str:
    """What a reader of files says, who knows of no copies."""
    return str(error) if error.next_step else f"{error}; {_COPY}"
