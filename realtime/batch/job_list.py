"""The list of what is to be done: rows of a CSV file, or recordings × heads of a TOML file; see docs/offline.md."""

from __future__ import annotations

import csv
import io
import re
import shlex
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final

from core.errors import InputError
from core.untrusted import read_bytes

LARGEST_BYTES = 16 << 20
MOST_JOBS = 100_000
_OWN: Final = ("driving", "avatar", "out")
_GLOB = re.compile(r"[*?\[]")
_UNFIT = re.compile(r"[^\w.+-]+")

Settings = dict[str, tuple[str, ...]]
"""Options of `vfa animate` by name, without the dashes before it, with their values as they are typed; of a flag "true"
or "false"."""


@dataclass(frozen=True)
class Listed:
    """One line of a list, before patterns are resolved.

    Attributes:
        where: names it, for messages.
        driving, avatar: paths, patterns or names.
        out: name of the folder, where the user gave one.
        settings: all other options.
    """

    where: str
    driving: tuple[str, ...]
    avatar: tuple[str, ...]
    out: str
    settings: Settings


@dataclass(frozen=True)
class Job:
    """One recording on one head.

    Attributes:
        name: of its folder, no two alike whatever the case of letters.
        where: the line of the list that it is from.
        driving: the recording; it need not exist.
        avatar: a built-in head's name, or a path.
        settings: all other options.
    """

    name: str
    where: str
    driving: Path
    avatar: str
    settings: Settings


def read_list(path: Path, options: Mapping[str, Kind], builtin: Iterable[str]) -> list[Job]:
    """All jobs, in the order of the list.

    Args:
        options: what `vfa animate` knows, by name without the dashes before it, `driving`, `avatar` and `out` left out.
        builtin: names of heads that are no paths.

    Relative paths are relative to the list's folder. Raises InputError, which names the line, for what is no list.
    """
    content = read_bytes(path, LARGEST_BYTES)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: expected a list as text (UTF-8), got something else; see docs/offline.md") from None
    toml = path.suffix.lower() == ".toml"
    rows = _rows_of_toml(path, text, options) if toml else _rows_of_csv(path, text, options)
    jobs = _named(_resolved(list(rows), path.absolute().parent, options, set(builtin)))
    if not jobs:
        raise InputError(f"{path}: expected at least one recording and one head, found none; see docs/offline.md")
    return jobs


@dataclass(frozen=True)
class Kind:
    """What an option's value is: `flag` (true or false), `switch` (on, off and others; true and false are taken for
    these), `path`, or whether it takes several words (`many`)."""

    flag: bool = False
    switch: bool = False
    path: bool = False
    many: bool = False


def _rows_of_csv(path: Path, text: str, options: Mapping[str, Kind]) -> Iterator[Listed]:
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    lines = [(number, line) for number, line in lines if not line.lstrip().startswith("#")]
    if not lines:
        return
    delimiter = max(",;\t", key=lines[0][1].count)
    header = [cell.strip() for cell in next(csv.reader([lines[0][1]], delimiter=delimiter))]
    names = [_option_name(f"{path}, line {lines[0][0]}", name, options) for name in header]
    for column in ("driving", "avatar"):
        if column not in names:
            raise InputError(f"{path}: expected a first line that names the columns, {column} among them, got {header}")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise InputError(f"{path}: the column {twice[0]} is there twice; leave one out")
    for number, line in lines[1:]:
        where = f"{path}, line {number}"
        try:
            cells = next(csv.reader(io.StringIO(line), delimiter=delimiter, strict=True))
        except csv.Error as error:
            raise InputError(f"{where}: {error}; quotes begin and end a cell") from None
        if len(cells) > len(names):
            raise InputError(f"{where}: {len(cells)} cells, expected {len(names)}; put quotes around one with commas")
        given = {name: cell.strip() for name, cell in zip(names, cells, strict=False) if cell.strip()}
        own = {name: given.pop(name, "") for name in _OWN}
        for name in ("driving", "avatar"):
            if not own[name]:
                raise InputError(f"{where}: no {name} is given; fill in the cell or remove the line")
        settings = {name: _words(where, name, cell, options[name]) for name, cell in given.items()}
        yield Listed(where, (own["driving"],), (own["avatar"],), own["out"], settings)


def _rows_of_toml(path: Path, text: str, options: Mapping[str, Kind]) -> Iterator[Listed]:
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"{path}: expected a TOML file, {error}") from None
    unknown = sorted(set(content) - {"settings", "job"})
    general, tables = content.get("settings", {}), content.get("job", [])
    if unknown or not isinstance(general, dict) or not isinstance(tables, list):
        raise InputError(f"{path}: expected [[job]] tables and perhaps one [settings], got {unknown or 'others'}")
    for number, table in enumerate(tables, 1):
        where = f"{path}, job {number}"
        if not isinstance(table, dict):
            raise InputError(f"{where}: expected a table, [[job]]")
        known = {_option_name(where, name, options): value for name, value in {**general, **table}.items()}
        own = {name: _strings(where, name, known.pop(name, ())) for name in _OWN}
        for name in ("driving", "avatar"):
            if not own[name]:
                raise InputError(f"{where}: no {name} is given; add  {name} = [...]")
        settings = {name: _words(where, name, value, options[name]) for name, value in known.items()}
        yield Listed(where, own["driving"], own["avatar"], "".join(own["out"][:1]), settings)


def _option_name(where: str, name: str, options: Mapping[str, Kind]) -> str:
    plain = name.strip().lstrip("-").replace("_", "-")
    if plain not in options and plain not in _OWN:
        raise InputError(f"{where}: {name!r} is no option of vfa animate; vfa animate --help lists them")
    return plain


def _strings(where: str, name: str, value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, list | tuple) else [value]
    if not all(isinstance(each, str) for each in values):
        raise InputError(f"{where}: {name} = {value!r}: expected text, or a list of it")
    return tuple(values)


def _words(where: str, name: str, value: Any, kind: Kind) -> tuple[str, ...]:
    """An option's value as it would be typed."""
    if kind.flag or kind.switch:
        flags = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        on = flags.get(str(value).lower())
        if on is not None:
            words_of = ("off", "on") if kind.switch else ("false", "true")
            return (words_of[on],)
        if kind.flag:
            raise InputError(f"{where}: {name} = {value!r}: expected true or false")
    if isinstance(value, list):
        words = [str(each) for each in value]
    elif isinstance(value, str) and kind.many:
        try:
            words = shlex.split(value.replace(",", " "))
        except ValueError as error:
            raise InputError(f"{where}: {name} = {value!r}: {error}") from None
    else:
        words = [str(value)]
    if isinstance(value, bool | dict) or not words or not all(words):
        raise InputError(f"{where}: {name} = {value!r}: expected what  vfa animate --{name}  takes")
    return tuple(words)


def _resolved(
    rows: list[Listed], folder: Path, options: Mapping[str, Kind], builtin: set[str]
) -> Iterator[tuple[Listed, Path, str]]:
    """Each line's recordings with each of its heads."""
    count = 0
    for row in rows:
        clips = [clip for given in row.driving for clip in _matches(row.where, given, folder)]
        heads = [
            head
            for given in row.avatar
            for head in ([given] if given in builtin else map(str, _matches(row.where, given, folder)))
        ]
        settings = {
            name: tuple(str(_placed(word, folder)) for word in words) if options[name].path else words
            for name, words in row.settings.items()
        }
        placed = Listed(row.where, row.driving, row.avatar, row.out, settings)
        for clip, head in product(clips, heads):
            count += 1
            if count > MOST_JOBS:
                raise InputError(f"{row.where}: more than {MOST_JOBS} jobs; split the list")
            yield placed, clip, head


def _placed(given: str, folder: Path) -> Path:
    try:
        return folder / Path(given).expanduser()
    except RuntimeError:  # the home of nobody
        return folder / given


def _matches(where: str, given: str, folder: Path) -> list[Path]:
    """The path that is given, or all that a pattern matches, in order."""
    path = _placed(given, folder)
    if "\0" in given:
        raise InputError(f"{where}: {given!r} is no path")
    if not _GLOB.search(given) or path.exists():
        return [path]
    anchor = Path(path.anchor)
    try:
        found = sorted(anchor.glob(str(path.relative_to(anchor))))
    except (OSError, ValueError, NotImplementedError) as error:
        raise InputError(f"{where}: {given}: no pattern for files ({error})") from None
    if not found:
        raise InputError(f"{where}: {given}: nothing matches this pattern; relative paths begin at {folder}")
    return found


def _named(rows: Iterable[tuple[Listed, Path, str]]) -> list[Job]:
    jobs: list[Job] = []
    taken: set[str] = set()
    for row, clip, head in rows:
        wanted = _UNFIT.sub("_", row.out or f"{clip.stem or clip.name}--{Path(head).stem}").strip(".") or "job"
        name, number = wanted, 1
        while name.lower() in taken:
            number += 1
            name = f"{wanted}-{number}"
        taken.add(name.lower())
        jobs.append(Job(name, row.where, clip, head, row.settings))
    return jobs
