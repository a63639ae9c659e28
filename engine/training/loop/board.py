"""What a run tells: a CSV file with every logged step, and TensorBoard where the extra is installed."""

import csv
import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.closeable import Closeable
from core.errors import install_line

CURVE_NAME = "curve.csv"

log = logging.getLogger(__name__)


class Board(Closeable):
    """Written by the leading process only. A context manager.

    Args:
        folder: where `curve.csv` goes on and TensorBoard's files lie.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / CURVE_NAME
        self._writer: Any = None
        try:
            from torch.utils.tensorboard.writer import SummaryWriter

            self._writer = SummaryWriter(str(folder / "board"))
        except ImportError:
            log.info("no TensorBoard here, only %s; to add it:  %s", self._path, install_line("train"))

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Append one line; columns are those of the file's first line."""
        fresh = not self._path.exists()
        with self._path.open("a+", newline="") as file:
            file.seek(0)
            names = ["step", *values] if fresh else next(csv.reader(file))
            writer = csv.DictWriter(file, names, extrasaction="ignore")
            if fresh:
                writer.writeheader()
            writer.writerow({"step": step, **{name: f"{value:.6g}" for name, value in values.items()}})
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)
            self._writer.flush()

    def picture(self, step: int, name: str, rgb: NDArray[np.uint8]) -> None:
        """[H, W, 3]"""
        if self._writer is not None:
            self._writer.add_image(name, rgb, step, dataformats="HWC")

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
