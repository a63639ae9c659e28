"""The error a user can act on, and the line that installs what is missing."""

import shlex
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_LONGEST = 1500


class InputError(ValueError):
    """Something the user handed in cannot be used.

    The message is one line that names the object (a path, an option, a device), says what was expected and what was
    found, and ends with the next step. The command line prints it and exits with status 2.

    What it quotes from a file may hold line breaks, escape sequences or megabytes: it stays one line that any terminal
    can print.

    Args:
        message: all of it, or all but the next step.
        next_step: follows the message; apart from it for those who may have something better to say, see `next_step`.

    Attributes:
        next_step: as it was given; empty where the message says it by itself or nobody knew one.
    """

    def __init__(self, message: str, next_step: str = "") -> None:
        self.next_step = next_step
        message = f"{message}; {next_step}" if next_step else message
        line = message if len(message) <= _LONGEST else f"{message[: _LONGEST // 2]} … {message[-_LONGEST // 2 :]}"
        super().__init__("".join(letter if letter.isprintable() else " " for letter in line))


class SourceError(InputError):
    """A source of frames cannot be opened or read; names it, what was expected and the next step."""


def one_line(error: BaseException) -> str:
    """What an error says, or its kind, in 200 letters at most: names in a file may hold anything."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def last_line(error: Exception) -> str:
    """What a library's message of many lines comes down to."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def install_line(extra: str, *options: str) -> str:
    """The command that adds an extra to the environment that is running, from the folder where it runs from one."""
    from_folder = (_ROOT / "pyproject.toml").is_file()
    what = ["-e", f"{_ROOT}[{extra}]"] if from_folder else [f"vfa-live[{extra}]"]
    return pip_line(*options, *what)


def pip_line(*arguments: str) -> str:
    """The command that installs something into the environment that is running."""
    return shlex.join([sys.executable or "python", "-m", "pip", "install", *arguments])


class MissingExtraError(InputError):
    """An optional dependency is needed and absent; the message carries the install line."""

    def __init__(self, extra: str, needed_for: str) -> None:
        super().__init__(f'{needed_for} needs the extra "{extra}": install it with  {install_line(extra)}')
        self.extra = extra
