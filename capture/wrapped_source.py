"""A source that hands another one on: what it changes it says itself, everything else is the other's."""

from core.frame import RgbdFrame
from core.source import DeviceState, RgbdSource, Sound


class WrappedSource(RgbdSource):
    """Everything as `source` has it, at any time."""

    def __init__(self, source: RgbdSource) -> None:
        self.name = source.name
        self._source = source

    @property
    def fps(self) -> float:  # type: ignore[override]
        return self._source.fps

    @property
    def frame_count(self) -> int | None:  # type: ignore[override]
        return self._source.frame_count

    @property
    def skipped(self) -> int:  # type: ignore[override]
        return self._source.skipped

    @property
    def state(self) -> DeviceState:
        return self._source.state

    @property
    def detail(self) -> str:
        return self._source.detail

    @property
    def faults(self) -> dict[str, int]:
        return self._source.faults

    @property
    def device_latency_s(self) -> float | None:
        return self._source.device_latency_s

    @property
    def seen(self) -> bool:
        return self._source.seen

    @property
    def sound(self) -> Sound | None:
        return self._source.sound

    def open(self) -> None:
        self._source.open()

    def read(self, timeout_s: float) -> RgbdFrame | None:
        return self._source.read(timeout_s)

    def close(self) -> None:
        self._source.close()
