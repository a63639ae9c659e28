"""A recording that begins anew at its end."""

from dataclasses import replace

from capture.wrapped_source import WrappedSource
from core.frame import RgbdFrame
from core.source import RgbdSource


class RepeatedSource(WrappedSource):
    """A source played again and again: its frames are numbered on, and everything else is as it is. Played against the
    clock, their times go on by themselves."""

    def __init__(self, source: RgbdSource) -> None:
        super().__init__(source)
        self._rounds, self._first, self._next = 1, 0, 0
        self._skipped_before = 0

    @property
    def frame_count(self) -> int | None:  # type: ignore[override]
        """Of all rounds."""
        return None

    @property
    def skipped(self) -> int:  # type: ignore[override]
        """In all rounds."""
        return self._skipped_before + self._source.skipped

    @property
    def detail(self) -> str:
        return f"round {self._rounds}" if self._rounds > 1 else self._source.detail

    def read(self, timeout_s: float) -> RgbdFrame | None:
        """The next frame of whichever round; never ends. Raises SourceError."""
        try:
            frame = self._source.read(timeout_s)
        except EOFError:
            self._skipped_before += self._source.skipped
            self._rounds, self._first = self._rounds + 1, self._next
            self._source.open()
            return None
        if frame is None:
            return None
        frame = replace(frame, index=self._first + frame.index)
        self._next = frame.index + 1
        return frame
