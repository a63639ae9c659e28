"""The error a user can act on, shared by every package because `render` is the one they may all import."""


class InputError(ValueError):
    """Something the user handed in cannot be used.

    The message is one line that names the object (a path, an option, a device), says what was expected and what was
    found, and ends with the next step. The command line prints it and exits with status 2.
    """


class MissingExtraError(InputError):
    """An optional dependency is needed and absent; the message carries the install line."""

    def __init__(self, extra: str, needed_for: str) -> None:
        super().__init__(f'{needed_for} needs the extra "{extra}": install it with  pip install "vfa-live[{extra}]"')
        self.extra = extra
