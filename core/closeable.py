"""What holds something that has to be let go of."""

from abc import ABC, abstractmethod
from typing import Self


class Closeable(ABC):
    """A resource whose `with` block ends in `close`."""

    @abstractmethod
    def close(self) -> None:
        """Let go of everything. May be called twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
