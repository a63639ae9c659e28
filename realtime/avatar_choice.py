"""The avatar that was asked for, prepared while terminal and window say how far that is."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from calib.avatar import Avatar, Progress, prepare_avatar
from capture.synthetic import BUILTIN_AVATARS, builtin_avatar_path
from core.errors import InputError
from core.writable import reason_of
from realtime.config import AvatarOptions
from realtime.preparing import Window, prepared
from realtime.progress import step_bar
from realtime.threads.worker import Stop

T = TypeVar("T")

log = logging.getLogger(__name__)


def avatar_path(options: AvatarOptions) -> Path:
    """The file of the head that was asked for. Raises InputError where there is none."""
    if options.avatar in BUILTIN_AVATARS:
        return builtin_avatar_path(options.avatar)
    path = Path(options.avatar)
    if options.avatar and path.exists() and not path.is_file():
        found = "a folder" if path.is_dir() else "no file"
        raise InputError(f"--avatar {path}: is {found}, expected a mesh file or {', '.join(BUILTIN_AVATARS)}")
    if not options.avatar or not path.exists():
        known = ", ".join(BUILTIN_AVATARS)
        raise InputError(
            f"--avatar {options.avatar!r}: there is no such file, nor a built-in head of that name ({known})"
        )
    return path


def check_new(option: str, path: Path, head: Path, *, overwrite: bool) -> None:
    """Raises InputError where a file that is to be written is the head itself, or is there already."""
    try:
        there = path.exists()
    except (OSError, ValueError) as error:  # a name too long, a null byte in it
        raise InputError(f"{option} {path}: cannot be written there ({reason_of(error)}); name another place") from None
    if there and head.exists() and path.resolve() == head.resolve():
        raise InputError(f"{option} {path}: that is the head itself; name another file")
    if there and not overwrite:
        raise InputError(f"{option} {path}: is there already; name another or pass --overwrite")


def prepared_avatar(options: AvatarOptions, *, describe: bool = True) -> Avatar:
    """From the cache or made now, and then described in the log. Raises InputError."""
    avatar = prepared_for(options, lambda avatar, _tell: avatar, describe=describe)
    assert avatar is not None, "nobody could ask to end"
    return avatar


def prepared_for(
    options: AvatarOptions,
    use: Callable[[Avatar, Progress], T],
    stop: Stop | None = None,
    window: Window | None = None,
    *,
    describe: bool = True,
) -> T | None:
    """What `use` makes of the avatar, with the same progress; None where the user asked to end. Raises InputError."""
    path = avatar_path(options)

    def prepare(tell: Progress) -> T:
        steps: list[str] = []

        def told(what: str, done: int, total: int | None) -> None:
            steps.append(what)
            tell(what, done, total)

        avatar = prepare_avatar(path, options.preparation, refresh=options.refresh, progress=told)
        if steps and describe:
            log.info("%s: %s", path, avatar.description)
        return use(avatar, tell)

    with step_bar(f"preparing {path.name}") as tell:
        return prepared(prepare, tell, stop, window)
