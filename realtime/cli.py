"""The commands `vfa-live` and `vfa`: what there is, and how each of them ends."""

import logging
import os
import sys
import warnings
from collections.abc import Callable, Collection
from difflib import get_close_matches
from itertools import pairwise
from typing import Annotated, NoReturn

import tyro

from capture.synthetic import BUILTIN_AVATARS
from core.errors import InputError
from core.writable import lead_nowhere
from realtime.config import LiveOptions
from realtime.live_command import live
from realtime.optional_value import with_values
from realtime.preparing import left_behind
from realtime.progress import ConsoleLog, console
from realtime.threads.signals import InterruptedBySignalError, exit_status, interrupted_by_signals, told_of

EXIT_INPUT, EXIT_BROKEN_PIPE = 2, 141
_OF_HEADS = ("animate", "export-network", "prepare", "rig")
_HEAD_ENDINGS = (".blend", ".fbx", ".glb", ".gltf", ".obj", ".ply", ".stl", ".usdz", ".vrm")  # that of unread ones, too
_VERSION = "--version prints the version."


def live_main() -> None:
    """`vfa-live`: drive a head live."""
    _run_live("vfa-live")


def _run_live(program: str) -> NoReturn:
    description = f"{LiveOptions.__doc__} {_VERSION}"
    _run(lambda: tyro.cli(_live, prog=program, args=with_values(sys.argv[1:]), description=description))


def main() -> None:
    """`vfa`: everything else, each as a subcommand."""
    if sys.argv[1:2] == ["live"]:  # without what the others import
        del sys.argv[1]
        _run_live("vfa live")
    from realtime.batch_command import batch
    from realtime.cache_command import cache
    from realtime.export_command import export
    from realtime.listen_command import listen
    from realtime.offline_commands import animate, export_network, prepare
    from realtime.rig_command import rig
    from realtime.session_command import finish_recording, session
    from realtime.training_commands import preprocess, synth, train

    commands: dict[str, Callable[..., None]] = {
        "live": _live,
        "animate": animate,
        "batch": batch,
        "prepare": prepare,
        "rig": rig,
        "devices": devices,
        "listen": listen,
        "cache": cache,
        "export": export,
        "export-network": export_network,
        "session": session,
        "finish-recording": finish_recording,
        "synth": synth,
        "preprocess": preprocess,
        "train": train,
    }
    description = f"Face animator tools. {_VERSION}"

    def run() -> None:
        refuse_unknown(sys.argv[1:], commands)
        words = with_values(sys.argv[1:])
        tyro.extras.subcommand_cli_from_dict(commands, prog="vfa", args=words, description=description)

    _run(run)


def tell_version(program: str) -> NoReturn:
    """Print what `program` is and end the process."""
    from importlib.metadata import version

    _run(lambda: print(program, version("vfa-live")))


def _live(options: Annotated[LiveOptions, tyro.conf.arg(name="")]) -> None:
    """Drive a head live: capture, track, animate, show, record."""
    live(options)


def devices() -> None:
    """List the cameras that are connected, with serial numbers and what to do about the rest."""
    from rich.table import Table

    from capture.cameras.devices import list_devices
    from realtime.progress import PlainConsole

    rows = [(row.kind, row.identity, row.state, row.hint) for row in list_devices()]
    if not sys.stdout.isatty():
        print("\n".join("\t".join(row) for row in rows))
        return
    table = Table("kind", "serial", "state", "next step")
    for row in rows:
        table.add_row(*row)
    PlainConsole().print(table, soft_wrap=False)


def _run(command: Callable[[], None]) -> NoReturn:
    """Run a command and end the process; what the user can act on becomes one line and exit status 2."""
    _open_standard_streams()
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[ConsoleLog()])
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # of libraries to programmers
    status = 0
    try:
        _refuse_empty(sys.argv[1:])
        with interrupted_by_signals():
            command()
    except InputError as error:
        console.say("error:", "red", str(error))
        status = EXIT_INPUT
    except InterruptedBySignalError as interrupted:
        console.print(told_of(interrupted.number))
        status = exit_status(interrupted.number)
    except BrokenPipeError:  # whoever read our words has enough of them
        status = EXIT_BROKEN_PIPE
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    status = _flushed(status)
    if left_behind():  # its thread may be in the middle of a library: no waiting for it
        logging.shutdown()
        os._exit(status)
    sys.exit(status)


def refuse_unknown(words: list[str], commands: Collection[str]) -> None:
    """Raises InputError where the words after `vfa` name a command, or a part of one, that is not there."""
    from realtime.session_command import CHANGES, KINDS

    _refuse_unknown(words, commands, "vfa")
    _refuse_bare_head(words)
    if words[:1] == ["session"]:
        _refuse_unknown(words[1:], KINDS, "vfa session")
    if words[:2] == ["session", "edit"]:
        _refuse_unknown(words[3:], CHANGES, f"vfa session edit {' '.join(words[2:3])}")


def _refuse_unknown(words: list[str], known: Collection[str], before: str) -> None:
    """Raises InputError where the first word names none of the commands that may follow those before."""
    if not words or words[0].startswith("-") or words[0] in known:
        return
    near = get_close_matches(words[0], known, 1)
    meant = f"{before} {near[0]}" if near else ""
    if not near and before == "vfa" and os.path.exists(words[0]):
        meant = f"vfa live {words[0]}"
    hint = f"did you mean  {meant}" if meant else f"{before} --help  tells of each"
    raise InputError(f"{before} {words[0]}: expected one of {', '.join(known)}; {hint}")


def _refuse_bare_head(words: list[str]) -> None:
    """Raises InputError where a head follows a command without its option: `vfa prepare head.glb`."""
    command = words[0] if words else ""
    if command not in _OF_HEADS or any(word.partition("=")[0] == "--avatar" for word in words):
        return
    for before, word in pairwise(words):
        if word.startswith("-") or before.startswith("-"):
            continue  # an option or its value
        if word in BUILTIN_AVATARS or os.path.splitext(word)[1].lower() in _HEAD_ENDINGS:
            raise InputError(f"vfa {command} {word}: expected options alone, found a head; give it as --avatar {word}")


def _refuse_empty(arguments: list[str]) -> None:
    """Raises InputError where one is empty, as by a variable of the shell that is not set: as a path it would be the
    present folder."""
    before = ""
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not argument or (name.startswith("--") and equals and not value):
            option = name or (before if before.startswith("--") else "argument")
            raise InputError(f"{option} '': expected a value, this is empty; give one or leave the option out")
        before = argument


def _flushed(status: int) -> int:
    """Bring what was said to its readers; that they are gone is a status of its own and no traceback."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        status = EXIT_BROKEN_PIPE
    if status == EXIT_BROKEN_PIPE:
        lead_nowhere(1)  # or the interpreter would try again, and complain
    return status


def _open_standard_streams() -> None:
    """Give what a parent closed something to lead to. Otherwise the next file that is opened takes the number of the
    standard error, and what a native library prints goes into that file."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
