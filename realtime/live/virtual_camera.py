"""The avatar as a camera that other programs can choose: v4l2loopback on Linux, OBS's on Windows and macOS."""

import importlib.util
import logging
import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from core.errors import MissingExtraError, one_line
from realtime.threads.cores import give_way
from realtime.threads.latest_slot import LatestSlot, SlotClosedError
from realtime.threads.worker import Stop, Worker
from render.gl.background import Background
from render.window.viewer import Viewer

if TYPE_CHECKING:
    import pyvirtualcam

log = logging.getLogger(__name__)

JOIN_S = 2.0
_SAME_SHAPE = 0.01  # sizes whose aspects differ by less are scaled
_INSTALL = {
    "linux": "install and load v4l2loopback (Debian, Ubuntu: apt install v4l2loopback-dkms, then modprobe v4l2loopback "
    "exclusive_caps=1 card_label=vfa-live)",
    "win32": "install OBS Studio and start its virtual camera once",
    "darwin": "install OBS Studio and start its virtual camera once",
}


class VirtualCamera:
    """Sends the avatar's picture, without overlays and never mirrored, from a thread of its own.

    `offer` is for the thread of the viewer and never waits: the newest picture wins. A camera that cannot be opened or
    goes away is one line for the user (`take_notice`, and the log), and nothing is taken from the viewer any more.

    Args:
        name: of the device ("/dev/video10", "OBS Virtual Camera"); empty: the first there is.
        size: width and height of its pictures; fps: how many a second, repeated while nothing new comes.
        background: what stands behind the head there (None: the studio), with `shares_background` where the viewer has
            the same behind it.

    Raises MissingExtraError where pyvirtualcam is not installed.
    """

    def __init__(
        self,
        name: str,
        size: tuple[int, int],
        fps: float,
        background: Background | None,
        *,
        shares_background: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if importlib.util.find_spec("pyvirtualcam") is None:
            raise MissingExtraError("virtual-camera", "--virtual-camera")
        self._name, self._size, self._period_s = name, size, 1.0 / fps
        self._background, self._shares = background, shares_background
        self._clock = clock
        self._pictures: LatestSlot[NDArray[np.uint8]] = LatestSlot()
        self._due_s = 0.0
        self._worker = Worker("virtual-camera", self._run, Stop(), self._pictures.close)
        self._notice: str | None = None
        self.device = ""
        self.sent = 0
        self.problem = ""

    def start(self) -> None:
        """Open the device, on the thread that sends to it."""
        self._worker.start()

    @property
    def active(self) -> bool:
        """Whether other programs can see it."""
        return bool(self.device) and not self.problem

    @property
    def unusable(self) -> bool:
        """Whether it could never be opened."""
        return bool(self.problem) and not self.device

    def offer(self, viewer: Viewer) -> None:
        """Take the picture that the viewer shows where one is due."""
        now_s = self._clock()
        if self.problem or now_s < self._due_s:
            return
        # counted on from when it was due, so that a viewer of the same rate is not asked every other time
        self._due_s = max(self._due_s + self._period_s, now_s - self._period_s / 2)
        self._pictures.put(self._picture(viewer))

    def _picture(self, viewer: Viewer) -> NDArray[np.uint8]:
        """Of another shape or with something else behind the head it is drawn anew; otherwise it is the viewer's."""
        shown = viewer.intrinsics
        ours, theirs = self._size[0] / self._size[1], shown.width / shown.height
        if self._shares and abs(ours / theirs - 1) < _SAME_SHAPE:
            return viewer.read_rgb()
        return viewer.read_other_rgb(self._background, self._size)

    def take_notice(self) -> str | None:
        """What the user should be told, once."""
        notice, self._notice = self._notice, None
        return notice

    def summary(self) -> dict[str, str | int]:
        """For the report."""
        return {"device": self.device, "sent": self.sent, "problem": self.problem}

    def close(self) -> None:
        """Let go of the device. May be called twice, and before `start`."""
        self._pictures.close()
        self._worker.join(JOIN_S)

    def _run(self) -> None:
        give_way()
        import pyvirtualcam

        try:
            camera = pyvirtualcam.Camera(*self._size, 1.0 / self._period_s, device=self._name or None)
        except Exception as error:  # backends raise whatever they like
            self._fail(f"cannot be opened ({one_line(error)}); {_INSTALL.get(sys.platform, _INSTALL['linux'])}")
            return
        with camera:
            self.device = camera.device
            self._notice = f"virtual camera: {camera.device}, {self._size[0]}x{self._size[1]}"
            log.info("%s", self._notice)
            try:
                self._send(camera)
            except SlotClosedError:
                return
            except Exception as error:
                self._fail(f"went away ({one_line(error)}); start again once it is back")

    def _send(self, camera: "pyvirtualcam.Camera") -> None:
        """Until the slot is closed, which is raised."""
        latest: NDArray[np.uint8] | None = None
        due_s = self._clock()
        while True:
            picture = self._pictures.take(max(due_s - self._clock(), 0.0) if latest is not None else self._period_s)
            latest = latest if picture is None else self._fitted(picture)
            now_s = self._clock()
            if latest is None or now_s < due_s:
                continue
            camera.send(latest)
            if camera.device.startswith("/dev/") and not os.path.exists(camera.device):
                raise OSError("its device file is gone")  # the library only prints that it could not write
            self.sent += 1
            due_s = max(due_s + self._period_s, now_s)

    def _fitted(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if rgb.shape[1::-1] == self._size:
            return rgb
        method = cv2.INTER_AREA if rgb.shape[1] > self._size[0] else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(rgb, self._size, interpolation=method), dtype=np.uint8)

    def _fail(self, what: str) -> None:
        name = self._name or self.device
        problem = f"virtual camera{' ' * bool(name)}{name}: {what}; the show goes on without it"
        log.error("%s", problem)
        self._notice = self.problem = problem
