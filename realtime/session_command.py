"""`vfa session info|check|repair`, and `vfa finish-recording`, the older name of the last."""

import json
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from realtime.progress import console

if TYPE_CHECKING:
    from realtime.session.reader import SessionReader

EXIT_DAMAGED = 1


@dataclass(frozen=True)
class Info:
    """Tell what was recorded, how, and what happened meanwhile."""

    folder: tyro.conf.Positional[Path]
    """The session's folder."""

    json: bool = False
    """Print it for programs."""

    def __call__(self) -> None:
        from realtime.session.reader import SessionReader

        session = SessionReader.open(self.folder)
        if self.json:
            print(json.dumps(asdict(session.manifest), indent=1))
        else:
            console.print("\n".join(_told(session)))


@dataclass(frozen=True)
class Check:
    """Read all of a session and hold it against its manifest. Ends with status 1 where something is wrong."""

    folder: tyro.conf.Positional[Path]
    """The session's folder."""

    def __call__(self) -> None:
        from realtime.session.check import check

        found = check(self.folder)
        console.print("\n".join(found) if found else f"{self.folder}: all files are whole and as recorded")
        if found:
            sys.exit(EXIT_DAMAGED)


@dataclass(frozen=True)
class Repair:
    """Complete the session that a killed process or a power cut left; doing it twice does no harm."""

    folder: tyro.conf.Positional[Path]
    """The session's folder."""

    def __call__(self) -> None:
        finish_recording(self.folder)


def session(
    command: Annotated[
        Annotated[Info, tyro.conf.subcommand("info", prefix_name=False)]
        | Annotated[Check, tyro.conf.subcommand("check", prefix_name=False)]
        | Annotated[Repair, tyro.conf.subcommand("repair", prefix_name=False)],
        tyro.conf.arg(name=""),
    ],
) -> None:
    """Look at, check or repair the session in a folder: what --record, key V or vfa animate made."""
    command()


def finish_recording(folder: tyro.conf.Positional[Path]) -> None:
    """The older name of vfa session repair."""
    from realtime.recording.repair import repair

    console.print(repair(folder))


def _told(session: "SessionReader") -> list[str]:
    manifest, motion, observations = session.manifest, session.motion, session.observations
    size = sum(path.stat().st_size for path in session.folder.iterdir() if path.is_file())
    lasted_s = float(motion.timestamps_s[-1] - motion.timestamps_s[0]) if len(motion) else 0.0
    lines = [
        f"{session.folder}: {manifest.device} drives {manifest.avatar.name} by the {manifest.engine} engine",
        f"began {manifest.began}, {lasted_s:.1f} s, {len(motion)} frames, {motion.tracked.mean():.0%} with a face"
        if len(motion)
        else f"began {manifest.began}, no frame is complete",
        f"{size / 1e6:.1f} MB" + (f", {size / 1e6 / lasted_s * 60:.0f} MB a minute" if lasted_s > 0 else ""),
        f"pictures of the driver: {manifest.raw}; {_count(len(observations), 'observation')}",
    ]
    lines += [
        f"no frames from {gap.from_s - manifest.began_s:.2f} to {gap.to_s - manifest.began_s:.2f} s"
        + (f": {gap.state}" if gap.state else "")
        for gap in session.gaps
    ]
    if lost := {kind: count for kind, count in manifest.lost.items() if count}:
        lines.append("lost to a slow disk or encoder: " + ", ".join(f"{count} {kind}" for kind, count in lost.items()))
    if happened := Counter(event.what for event in session.events):
        lines.append("events: " + ", ".join(f"{count} {what}" for what, count in happened.items()))
    if not manifest.complete:
        lines.append(f"not complete: it goes on, or  vfa session repair {session.folder}  completes it")
    return lines


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
