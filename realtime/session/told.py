"""A session in words, for people and for programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from realtime.session.folder_lock import is_written
from realtime.session.folder_names import EDITS_NAME
from realtime.session.reader import SessionReader

_GAPS_TOLD = 12  # those of a camera that was unplugged now and then


def as_json(folder: Path) -> str:
    """Its manifest, gaps and events included. Raises InputError."""
    session = SessionReader.open(folder)
    return json.dumps({**asdict(session.manifest), "gaps": [asdict(gap) for gap in session.gaps]}, indent=1)


def told(folder: Path) -> str:
    """Some lines on what was recorded. Raises InputError."""
    return "\n".join(_lines(SessionReader.open(folder)))


def _lines(session: SessionReader) -> Iterator[str]:
    manifest, motion = session.manifest, session.motion
    yield f"{session.folder}: {manifest.device} drives {manifest.avatar.name} by the {manifest.engine} engine"
    size_mb = sum(path.stat().st_size for path in session.folder.iterdir() if path.is_file()) / 1e6
    if len(motion):
        lasted_s = float(motion.timestamps_s[-1] - motion.timestamps_s[0])
        rate = f", {size_mb / lasted_s * 60:.0f} MB a minute" if lasted_s > 0 else ""
        yield f"began {manifest.began}, {lasted_s:.1f} s, {len(motion)} frames, a face in {session.faces_share:.0%}"
        yield f"{size_mb:.1f} MB{rate}; pictures of the driver: {manifest.raw}"
    else:
        yield f"began {manifest.began}, no frame is complete"
    if (sound := session.sound) is not None:
        yield f"sound: {sound.path.name}, {sound.path.stat().st_size / 1e6:.1f} MB"
    if (session.folder / EDITS_NAME).exists():
        yield f"played and exported with edits:  vfa session show {session.folder}  lists them"
    for gap in session.gaps[:_GAPS_TOLD]:
        begins_s, ends_s = gap.from_s - manifest.began_s, gap.to_s - manifest.began_s
        yield f"no frames from {begins_s:.2f} to {ends_s:.2f} s" + (f": {gap.state}" if gap.state else "")
    if more := session.gaps[_GAPS_TOLD:]:
        yield f"and {len(more)} such gaps more, {sum(gap.to_s - gap.from_s for gap in more):.1f} s in all; --json: each"
    if lost := [f"{count} {kind}" for kind, count in manifest.lost.items() if count]:
        yield "lost, the disk or an encoder was too slow: " + ", ".join(lost)
    if happened := Counter(event.what for event in session.events):
        yield "events: " + ", ".join(f"{count} {what}" for what, count in happened.items())
    if is_written(session.folder):
        yield "not complete: it is being recorded at this moment"
    elif not manifest.complete:
        yield f"not complete:  vfa session repair {session.folder}  completes it"
