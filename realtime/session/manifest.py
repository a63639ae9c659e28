"""`session.json`: what was recorded, how, and what happened meanwhile.

It is written whole when a session begins and again when it ends. In between, `events.partial.jsonl` grows by a line for
everything that happens; a session that was killed has its events there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from core.errors import InputError
from core.untrusted import parse_json, read_bytes, read_json
from core.whole_file import whole_file
from realtime.session.folder_names import EVENTS_NAME, MANIFEST_NAME, RawName

FORMAT: Final = "vfa session"
FORMAT_VERSION: Final = 1
_LARGEST_BYTES = 64 << 20
_MOST_EVENTS = 100_000  # one a second, for a day; what comes after them is passed over
_LARGEST_S = 1e10
_SLOWEST_HZ, _FASTEST_HZ = 0.01, 10_000.0
_KINDS = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}


@dataclass(frozen=True)
class Event:
    """Something that happened.

    Attributes:
        time_s: when, on the clock of the frames' timestamps.
        what: such as "state", "camera", "neutral", "gains", "head", "pause", "lost", "problem".
        details: depends on what.
    """

    time_s: float
    what: str
    details: dict[str, Any] = field(default_factory=dict)

    def line(self) -> bytes:
        """As it stands in the log."""
        return json.dumps({"time_s": self.time_s, "what": self.what, **self.details}).encode() + b"\n"


@dataclass(frozen=True)
class Gap:
    """A time in which no frame came: between the timestamps of two frames, and what the source was doing then."""

    from_s: float
    to_s: float
    state: str


@dataclass(frozen=True)
class AvatarNamed:
    """The avatar that was driven.

    Attributes:
        name: of its file.
        path: as the user gave it, or the name of a built-in head.
        content_key: changes with anything that would make it another avatar.
        vertices: of the file.
    """

    name: str
    path: str
    content_key: str
    vertices: int


@dataclass(frozen=True)
class About:
    """What is known of a session when it begins; as in `Manifest`, `avatar` as its path."""

    device: str = ""
    fps: float = 0.0
    avatar: str = ""
    engine: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    programs: dict[str, str] = field(default_factory=dict)
    raw: RawName = "off"


@dataclass(frozen=True)
class Manifest:
    """A session in words.

    Attributes:
        began: date and time, ISO 8601.
        began_s: the same moment on the clock of the frames' timestamps.
        programs: {package: version}.
        device: what drove, as the user named it, without its folder.
        fps: nominal, of that; 0 where it is not known.
        avatar: whom.
        engine: its name.
        settings: {option: value} of the motion.
        raw: which of the camera's own pictures were asked for: off, colour, rgbd.
        complete: whether the session ended in order, or was repaired.
        ended_s: timestamp of the last frame.
        frames: poses kept.
        lost: {poses, pictures, raw: how many the disk or an encoder could not keep up with}.
        gaps: times without frames.
        events: everything that happened, in order.
        files: {name: {bytes, and where they are known frames and crc32}} of the other files.
    """

    began: str
    began_s: float
    programs: dict[str, str]
    device: str
    fps: float
    avatar: AvatarNamed
    engine: str
    settings: dict[str, Any]
    raw: str
    complete: bool = False
    ended_s: float | None = None
    frames: int = 0
    lost: dict[str, int] = field(default_factory=dict)
    gaps: tuple[Gap, ...] = ()
    events: tuple[Event, ...] = ()
    files: dict[str, dict[str, Any]] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Whole or not at all. Raises OSError."""
        content = {"format": FORMAT, "version": FORMAT_VERSION, **asdict(self)}
        content["events"] = [{"time_s": each.time_s, "what": each.what, **each.details} for each in self.events]
        with whole_file(folder / MANIFEST_NAME) as partial:
            partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """What a session's folder says of itself, with the events of one that goes on or was killed. Raises InputError."""
    path = folder / MANIFEST_NAME
    try:
        manifest = _from_content(read_json(path, _LARGEST_BYTES))
    except (ValueError, TypeError, KeyError) as error:
        if isinstance(error, InputError):
            raise
        told = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise InputError(f"{path}: not the manifest of a session ({told})", "give a session's folder") from None
    if not manifest.complete and (log := folder / EVENTS_NAME).is_file():
        return replace(manifest, events=read_events(log))
    return manifest


def read_events(path: Path) -> tuple[Event, ...]:
    """The events of a log, up to the first line that is not whole. Raises InputError where it cannot be read."""
    lines = read_bytes(path, _LARGEST_BYTES).split(b"\n", _MOST_EVENTS)[:-1]
    try:
        contents = parse_json(b"[" + b",".join(lines) + b"]", str(path))  # in a fifth of the time of one by one
        if len(contents) == len(lines):
            return tuple(map(_event, contents))
    except (ValueError, TypeError, KeyError):
        pass
    return tuple(_events_until_damaged(lines, path))


def _events_until_damaged(lines: list[bytes], path: Path) -> Iterator[Event]:
    for line in lines:
        try:
            yield _event(parse_json(line, str(path)))
        except (ValueError, TypeError, KeyError):
            return


def _from_content(content: Any) -> Manifest:
    _expect(content, "the file", dict)
    if content.get("format") != FORMAT:
        raise ValueError(f"expected the format {FORMAT}")
    if type(content["version"]) is not int or content["version"] != FORMAT_VERSION:
        raise ValueError(f"version {content['version']!r:.40}, expected {FORMAT_VERSION}; a newer vfa wrote it")
    avatar = _expect(content["avatar"], "avatar", dict)
    ended = content.get("ended_s")
    return Manifest(
        began=_expect(content["began"], "began", str)[:64],
        began_s=_number(content["began_s"], "began_s"),
        programs={str(key): str(value)[:64] for key, value in _expect(content["programs"], "programs", dict).items()},
        device=_expect(content["device"], "device", str),
        fps=_rate(content["fps"]),
        avatar=AvatarNamed(
            _expect(avatar["name"], "the avatar's name", str),
            _expect(avatar["path"], "the avatar's path", str),
            _expect(avatar["content_key"], "the avatar's key", str),
            _count(avatar["vertices"], "the avatar's vertices"),
        ),
        engine=_expect(content["engine"], "engine", str),
        settings=_flat(_expect(content["settings"], "settings", dict), "settings"),
        raw=_expect(content["raw"], "raw", str),
        complete=_expect(content["complete"], "complete", bool),
        ended_s=None if ended is None else _number(ended, "ended_s"),
        frames=_count(content["frames"], "frames"),
        lost={key: _count(value, "lost") for key, value in _expect(content["lost"], "lost", dict).items()},
        gaps=tuple(_gap(each) for each in _expect(content["gaps"], "gaps", list)),
        events=tuple(_event(each) for each in _expect(content["events"], "events", list)[:_MOST_EVENTS]),
        files={key: _file(value) for key, value in _expect(content["files"], "files", dict).items()},
    )


def _gap(content: Any) -> Gap:
    _expect(content, "a gap", dict)
    from_s, to_s = (_number(content[key], f"a gap's {key}") for key in ("from_s", "to_s"))
    return Gap(from_s, to_s, _expect(content["state"], "a gap's state", str)[:64])


def _event(content: Any) -> Event:
    details = dict(_expect(content, "an event", dict))
    time_s, what = _number(details.pop("time_s"), "an event's time"), _expect(details.pop("what"), "an event", str)
    return Event(time_s, what[:64], _flat(details, "an event"))


def _file(content: Any) -> dict[str, Any]:
    return {key: _count(value, f"a file's {key}") for key, value in _expect(content, "a file", dict).items()}


def _flat(content: dict[str, Any], name: str) -> dict[str, Any]:
    """As it is, where it holds words, numbers and lists of those. Raises ValueError."""
    for value in content.values():
        if type(value) is dict or (type(value) is list and any(type(each) in (dict, list) for each in value)):
            raise ValueError(f"expected plain values in {name}, got {str(value)[:40]}")
    return content


def _expect(value: Any, name: str, kind: type) -> Any:
    if type(value) is not kind:
        raise ValueError(f"expected {_KINDS[kind]} for {name}, got {type(value).__name__}")
    return value


def _number(value: Any, name: str) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or abs(value) > _LARGEST_S:
        raise ValueError(f"expected a number for {name}, got {value!r:.40}")
    return float(value)


def _rate(value: Any) -> float:
    fps = _number(value, "fps")
    if fps and not _SLOWEST_HZ <= fps <= _FASTEST_HZ:  # a frame would last for ever, or end before it began
        raise ValueError(f"expected 0 or {_SLOWEST_HZ:g} to {_FASTEST_HZ:g} for fps, got {fps:g}")
    return fps


def _count(value: Any, name: str) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"expected a count for {name}, got {value!r:.40}")
    return value
