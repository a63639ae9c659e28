"""`edits.json` beside a session: what is changed of its motion whenever it is replayed or exported. The session's own
files stay as they were recorded; undoing an edit brings them back."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from core.errors import InputError
from core.face_motion import MotionTrack
from core.source import Sound, SoundPiece
from core.untrusted import read_json
from core.whole_file import whole_file
from core.writable import writing_to
from realtime.editing.edits import BlendGaps, Cut, Edit, Kept, Retime, Trim, of_content, to_content
from realtime.session.folder_names import EDITS_NAME as EDITS_NAME

FORMAT: Final = "vfa edits"
FORMAT_VERSION: Final = 1
MOST_EDITS: Final = 1000
_LARGEST_BYTES = 1 << 20
_SAME_S = 1e-3


def read_edits(folder: Path, track: MotionTrack) -> tuple[Edit, ...]:
    """The edits of a session, in the order in which they apply; none where there is no list.

    Raises InputError for what is no list, and for one of another recording than `track`, which was made over it.
    """
    path = folder / EDITS_NAME
    if not path.exists() and not path.is_symlink():
        return ()
    content = read_json(path, _LARGEST_BYTES)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"{path}: expected the edits of a session, found something else; move it away")
    if content.get("version") != FORMAT_VERSION:
        raise InputError(
            f"{path}: version {content.get('version')!r:.20}, this program reads {FORMAT_VERSION}; update it"
        )
    edits = content.get("edits")
    if not isinstance(edits, list) or len(edits) > MOST_EDITS:
        raise InputError(f"{path}: expected a list of at most {MOST_EDITS} edits; move the file away")
    frames, seconds = content.get("frames"), content.get("seconds")
    same = frames == len(track) and isinstance(seconds, int | float) and abs(seconds - duration_s(track)) <= _SAME_S
    if not same:
        raise InputError(
            f"{path}: edits of another recording in this folder;  vfa session edit {folder} clear  removes them"
        )
    try:
        return tuple(of_content(each) for each in edits)
    except InputError as error:
        raise InputError(f"{path}: {error}; move the file away, or correct it") from None


def write_edits(folder: Path, edits: Sequence[Edit], track: MotionTrack) -> None:
    """Keep this list for a recorded `track`, whole or not at all; no file where it is empty. Raises InputError."""
    path = folder / EDITS_NAME
    if len(edits) > MOST_EDITS:
        raise InputError(f"{path}: {len(edits)} edits, expected {MOST_EDITS} at most; undo some")
    with writing_to(path):
        if not edits:
            path.unlink(missing_ok=True)
            return
        content = {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "frames": len(track),
            "seconds": duration_s(track),
            "edits": [to_content(edit) for edit in edits],
        }
        with whole_file(path) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", "utf-8")


def duration_s(track: MotionTrack) -> float:
    """From its first frame to its last."""
    return float(track.timestamps_s[-1] - track.timestamps_s[0]) if len(track) else 0.0


def applied(track: MotionTrack, edits: Sequence[Edit]) -> MotionTrack:
    """The track with all of them, one after the other. Raises InputError, which numbers the one that cannot be."""
    for number, edit in enumerate(edits, 1):
        try:
            track = edit(track)
        except InputError as error:
            raise InputError(f"edit {number}, {error}") from None
    return track


def edited(folder: Path, track: MotionTrack) -> MotionTrack:
    """The motion of the session in `folder`, with its edits. Raises InputError."""
    edits = read_edits(folder, track)
    try:
        return applied(track, edits)
    except InputError as error:
        raise InputError(f"{folder / EDITS_NAME}: {error}") from None


def with_edits(sound: Sound, folder: Path, track: MotionTrack) -> Sound | None:
    """The sound of the session in `folder`, cut as its motion is; None where its motion plays faster or slower.

    Args:
        sound: on the clock of `track`, which is as it was recorded.

    Raises InputError.
    """
    edits = read_edits(folder, track)
    if any(isinstance(edit, Retime) and edit.speed != 1 for edit in edits):
        return None
    first_s = float(track.timestamps_s[0]) if len(track) else 0.0
    heard = [SoundPiece(0.0, math.inf, 0.0)]
    for edit in edits:
        if isinstance(edit, Trim | Cut):
            heard = [piece for kept in edit.kept(track) for piece in _within(heard, kept)]
        if isinstance(edit, Trim | Cut | Retime | BlendGaps):  # of the others every frame keeps its time
            track = edit(track)
    if heard == [SoundPiece(0.0, math.inf, 0.0)]:
        return sound
    return replace(sound, pieces=tuple(piece.later(first_s) for piece in heard))


def _within(pieces: list[SoundPiece], kept: Kept) -> list[SoundPiece]:
    """The parts of pieces that stay, where they are then."""
    moved_s, found = kept.begins_s - kept.from_s, []
    for piece in pieces:
        begins_s, ends_s = max(piece.begins_s, kept.from_s), min(piece.ends_s, kept.to_s)
        if begins_s < ends_s:
            from_s = piece.from_s + begins_s - piece.begins_s
            found.append(SoundPiece(begins_s + moved_s, ends_s + moved_s, from_s))
    return found
