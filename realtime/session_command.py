"""`vfa session`: what a session holds, whether it is whole, and edits of its motion that leave the recording alone."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

from tyro.conf import OmitArgPrefixes, OmitSubcommandPrefixes, Positional, subcommand

from core.errors import InputError
from realtime.editing.channels import Part
from realtime.editing.edit_list import EDITS_NAME, applied, duration_s, read_edits, with_edits, write_edits
from realtime.editing.edits import BlendGaps, Cut, Edit, GaussianFilter, Mirror, OneEuroFilter, Retime, Trim
from realtime.progress import console

EXIT_DAMAGED = 1

if TYPE_CHECKING:
    from core.face_motion import MotionTrack
    from core.source import Sound


@dataclass(frozen=True)
class TrimOptions:
    """Keep the part between two times alone. Times are seconds from the beginning, of the motion as it is by now."""

    begin: Positional[float]
    """Seconds."""

    end: Positional[float]
    """Seconds."""

    def edit(self) -> Edit:
        return Trim(self.begin, self.end)


@dataclass(frozen=True)
class CutOptions:
    """Take the part between two times out; what follows moves up. Seconds, of the motion as it is by now."""

    begin: Positional[float]
    """Seconds."""

    end: Positional[float]
    """Seconds."""

    blend: float = 0.2
    """Seconds after the cut within which the face goes over to what follows; 0: it jumps."""

    def edit(self) -> Edit:
        return Cut(self.begin, self.end, self.blend)


@dataclass(frozen=True)
class RetimeOptions:
    """Play faster or slower, at an even rate where --fps says one."""

    speed: float = 1.0
    """2 plays twice as fast."""

    fps: float | None = None
    """Frames a second; those that were recorded stay when not given."""

    def edit(self) -> Edit:
        return Retime(self.speed, self.fps)


@dataclass(frozen=True)
class FilterOptions:
    """Smooth it: with the One-Euro filter, as live, or with a Gaussian window, which does not lag."""

    gaussian: float | None = None
    """Standard deviation of a Gaussian window in seconds, such as 0.05."""

    min_cutoff: float | None = None
    """One-Euro filter: cutoff at rest in hertz, lower is smoother. 1 when only --beta is given."""

    beta: float | None = None
    """One-Euro filter: hertz by which the cutoff rises for each unit a second, higher lags less. 1 when not given."""

    part: Part = "all"
    """What is smoothed: the face's units, the gaze, the head's motion, or all."""

    def edit(self) -> Edit:
        one_euro = self.min_cutoff is not None or self.beta is not None
        if one_euro == (self.gaussian is not None):
            raise InputError("filter: expected --gaussian SECONDS, or --min-cutoff and --beta; give one of the two")
        if self.gaussian is not None:
            return GaussianFilter(self.gaussian, self.part)
        return OneEuroFilter(
            1.0 if self.min_cutoff is None else self.min_cutoff, 1.0 if self.beta is None else self.beta, self.part
        )


@dataclass(frozen=True)
class MirrorOptions:
    """Left and right change places: units, eyes, head."""

    def edit(self) -> Edit:
        return Mirror()


@dataclass(frozen=True)
class BlendGapsOptions:
    """Lead over gaps without a face or without frames, in place of the way to rest and back."""

    longest: float = 2.0
    """Seconds; longer gaps stay."""

    ease: float = 0.4
    """Seconds after a face came back in which the avatar was still on its way from rest."""

    def edit(self) -> Edit:
        return BlendGaps(self.longest, self.ease)


@dataclass(frozen=True)
class UndoOptions:
    """Take the latest edits back."""

    count: Positional[int] = 1
    """How many."""


@dataclass(frozen=True)
class ClearOptions:
    """Take all edits back: the session is as it was recorded."""


Change = (
    Annotated[TrimOptions, subcommand(name="trim")]
    | Annotated[CutOptions, subcommand(name="cut")]
    | Annotated[RetimeOptions, subcommand(name="retime")]
    | Annotated[FilterOptions, subcommand(name="filter")]
    | Annotated[MirrorOptions, subcommand(name="mirror")]
    | Annotated[BlendGapsOptions, subcommand(name="blend-gaps")]
    | Annotated[UndoOptions, subcommand(name="undo")]
    | Annotated[ClearOptions, subcommand(name="clear")]
)


@dataclass(frozen=True, kw_only=True)
class EditOptions:
    """Change a session's motion whenever it is exported or played; what was recorded stays as it is. Edits apply one
    after the other and are kept in edits.json beside it."""

    session: Positional[Path]
    """The session's folder."""

    change: OmitSubcommandPrefixes[OmitArgPrefixes[Change]]
    """What is done."""


@dataclass(frozen=True, kw_only=True)
class ShowOptions:
    """Say what a session's motion holds, and its edits."""

    session: Positional[Path]
    """The session's folder."""


@dataclass(frozen=True, kw_only=True)
class InfoOptions:
    """Say what was recorded, how, and what happened meanwhile."""

    session: Positional[Path]
    """The session's folder."""

    json: bool = False
    """All of it, for programs."""


@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """Read all of a session and hold it against its manifest. Ends with status 1 where something is wrong."""

    session: Positional[Path]
    """The session's folder."""


@dataclass(frozen=True, kw_only=True)
class RepairOptions:
    """Complete the session that a killed process or a power cut left; doing it twice does no harm. Ends with status 1
    where something of it could not be completed."""

    session: Positional[Path]
    """The session's folder."""


Which = (
    Annotated[InfoOptions, subcommand(name="info")]
    | Annotated[CheckOptions, subcommand(name="check")]
    | Annotated[RepairOptions, subcommand(name="repair")]
    | Annotated[EditOptions, subcommand(name="edit")]
    | Annotated[ShowOptions, subcommand(name="show")]
)


def _names(union: object) -> tuple[str, ...]:
    return tuple(each.__metadata__[0].name for each in get_args(union))


KINDS, CHANGES = _names(Which), _names(Change)
"""What may follow `vfa session` and `vfa session edit FOLDER`."""


def session(which: OmitSubcommandPrefixes[OmitArgPrefixes[Which]]) -> None:
    """Look at a session, check or repair its files, edit its motion: cut, trim, retime, filter, mirror, blend, undo."""
    if isinstance(which, InfoOptions):
        from realtime.session.told import as_json, told

        print(as_json(which.session)) if which.json else console.print(told(which.session))
    elif isinstance(which, CheckOptions):
        from realtime.session.check import check

        found = check(which.session)
        console.print("\n".join(found) if found else f"{which.session}: all files are whole and as recorded")
        if found:
            sys.exit(EXIT_DAMAGED)
    elif isinstance(which, RepairOptions):
        finish_recording(which.session)
    else:
        _show_or_edit(which)


def finish_recording(folder: Positional[Path]) -> None:
    """The older name of vfa session repair."""
    from realtime.recording.repair import repair
    from realtime.session.sealing import unfinished

    console.print(repair(folder))
    if unfinished(folder):
        sys.exit(EXIT_DAMAGED)


def _show_or_edit(which: ShowOptions | EditOptions) -> None:
    folder = which.session
    track, sound = _recorded(folder)
    clears = isinstance(which, EditOptions) and isinstance(which.change, ClearOptions)
    edits = () if clears else read_edits(folder, track)
    if isinstance(which, EditOptions):
        edits = _changed(folder, edits, which.change)
    after = applied(track, edits)  # raises where the latest cannot be
    if isinstance(which, EditOptions):
        write_edits(folder, edits, track)
    console.print(f"{folder}: recorded: {_size(track)}")
    for number, edit in enumerate(edits, 1):
        console.print(f"{number:3}  {edit.name}: {edit.told()}")
    if edits:
        silent = sound is not None and with_edits(sound, folder, track) is None
        console.print(f"with its edits: {_size(after)}" + ", without its sound, which plays at its own speed" * silent)


def _recorded(folder: Path) -> "tuple[MotionTrack, Sound | None]":
    from realtime.export.take import open_recorded

    if not folder.is_dir():
        raise InputError(f"{folder}: expected the folder of a session, found none; check the path")
    take = open_recorded(folder)
    if take.motion is None:
        raise InputError(
            f"{folder}: holds no units to edit (an earlier version recorded it, or an engine without units); drive the "
            "head anew with  vfa animate"
        )
    return take.motion, take.sound


def _changed(folder: Path, edits: tuple[Edit, ...], change: Change) -> tuple[Edit, ...]:
    if isinstance(change, ClearOptions):
        return ()
    if isinstance(change, UndoOptions):
        if not 1 <= change.count <= len(edits):
            there = f"{len(edits)} edits are" if len(edits) != 1 else "1 edit is"
            raise InputError(f"{folder / EDITS_NAME}: undo {change.count}: {there} there; give a number from 1 to that")
        return edits[: -change.count]
    return (*edits, change.edit())


def _size(track: "MotionTrack") -> str:
    faces = 100 * float(track.tracked.mean()) if len(track) else 0.0
    return f"{len(track)} frames, {duration_s(track):.2f} s, a face in {faces:.0f} %"
