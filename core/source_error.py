"""The error of a source of frames; apart, so that what frames are made of can raise it too."""

from core.errors import InputError


class SourceError(InputError):
    """A source cannot be opened or read; names it, what was expected and the next step."""
