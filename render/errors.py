"""The error a user can act on, shared by every package because `render` is the one they may all import."""

import re

_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_LONGEST = 1500


class InputError(ValueError):
    """Something the user handed in cannot be used.

    The message is one line that names the object (a path, an option, a device), says what was expected and what was
    found, and ends with the next step. The command line prints it and exits with status 2.

    What it quotes from a file may hold line breaks, escape sequences or megabytes: it stays one line that any terminal
    can print.
    """

    def __init__(self, message: str) -> None:
        line = _BREAKS.sub(" ", message).encode("utf-8", "replace").decode("utf-8")
        super().__init__(line if len(line) <= _LONGEST else f"{line[: _LONGEST // 2]} … {line[-_LONGEST // 2 :]}")


class MissingExtraError(InputError):
    """An optional dependency is needed and absent; the message carries the install line."""

    def __init__(self, extra: str, needed_for: str) -> None:
        super().__init__(f'{needed_for} needs the extra "{extra}": install it with  pip install "vfa-live[{extra}]"')
        self.extra = extra
