"""The error a user can act on, shared by every package because `render` is the one they may all import."""

_LONGEST = 1500


class InputError(ValueError):
    """Something the user handed in cannot be used.

    The message is one line that names the object (a path, an option, a device), says what was expected and what was
    found, and ends with the next step. The command line prints it and exits with status 2.

    What it quotes from a file may hold line breaks, escape sequences or megabytes: it stays one line that any terminal
    can print.
    """

    def __init__(self, message: str) -> None:
        line = message if len(message) <= _LONGEST else f"{message[: _LONGEST // 2]} … {message[-_LONGEST // 2 :]}"
        super().__init__("".join(letter if letter.isprintable() else " " for letter in line))


class MissingExtraError(InputError):
    """An optional dependency is needed and absent; the message carries the install line."""

    def __init__(self, extra: str, needed_for: str) -> None:
        super().__init__(f'{needed_for} needs the extra "{extra}": install it with  pip install "vfa-live[{extra}]"')
        self.extra = extra
