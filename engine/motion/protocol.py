"""What an engine produces, and the protocol all engines share."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.face_motion import FaceMotion
from core.frame import FaceObservation
from render.skin.moving_skin import SkinPose

HeadPose = Literal["follow", "fixed"]
"""follow: the avatar turns with the driver; fixed: only the expression is repeated."""


@dataclass(frozen=True, eq=False)
class AvatarPose:
    """The avatar's answer to one frame.

    Attributes:
        vertices: [R, 3] float32 deformed vertices in avatar units, before the head pose: the V vertices of the
            user's file first, in file order, then those the preparation added (such as the mouth lining). A neck
            is bent in them already, so that `T_world_head` leads shoulders back to where they stand.
        T_world_head: [4, 4] float64 rigid motion of the whole head in the avatar's world, to be applied to all
            vertices; identity at neutral.
        timestamp_s: capture time of the frame it answers.
        index: index of that frame.
        tracked: False when the frame had no face; the pose is then eased towards neutral.
        trouble: why the avatar does less than the driver although there is a face, in a few words; else empty.
        motion: the same in terms that other programs know; of engines without units, what the tracker names.
        skin: the vertices as a few numbers, for who works them out from these; None where an engine does not tell.
    """

    vertices: NDArray[np.float32]
    T_world_head: NDArray[np.float64]
    timestamp_s: float
    index: int
    tracked: bool
    trouble: str = ""
    motion: FaceMotion = field(default_factory=FaceMotion.at_rest)
    skin: SkinPose | None = None


class DeferredPose(AvatarPose):
    """A pose whose vertices are worked out when somebody asks for them, on any thread, and kept from then on.

    Args:
        make: makes the vertices; may be called from several threads.
        skin: the same as numbers. All else as in `AvatarPose`.
    """

    def __init__(
        self,
        make: Callable[[], NDArray[np.float32]],
        skin: SkinPose,
        T_world_head: NDArray[np.float64],
        timestamp_s: float,
        index: int,
        tracked: bool,
        trouble: str,
        motion: FaceMotion,
    ) -> None:
        told = {"T_world_head": T_world_head, "timestamp_s": timestamp_s, "index": index, "tracked": tracked}
        self.__dict__.update(told, trouble=trouble, motion=motion, skin=skin, _make=make)

    @cached_property
    def vertices(self) -> NDArray[np.float32]:
        made: NDArray[np.float32] = self.__dict__["_make"]()
        return made


class MotionEngine(Protocol):
    """Turns observations of one driver into poses of one avatar. Not thread-safe: owned by the worker thread.

    A class that inherits from it is an engine without expression units until it says otherwise.

    Attributes:
        name: as the user types it.
        head_pose: may be set from any thread; holds from the next frame on.
        defers: leave vertices out of poses where they can be told as numbers (`AvatarPose.skin`): whoever shows them
            works them out. May be set from any thread; engines that cannot take no notice.
        keeps_neutral: whether a neutral face that was kept in a profile, as landmarks without its picture, can be
            given to `calibrate` in a later session.
    """

    name: str
    head_pose: HeadPose
    defers: bool = False
    keeps_neutral: bool = True

    @property
    def calibrated(self) -> bool:
        """Whether a neutral is known."""

    @property
    def unit_names(self) -> tuple[str, ...] | None:
        """The 52 expression units in the order of `gains` and `unit_weights`; None for engines that know none."""
        return None

    @property
    def unit_weights(self) -> NDArray[np.float64] | None:
        """[52] what the avatar does now, in units; None for engines that know none."""
        return None

    @property
    def gains(self) -> NDArray[np.float64]:
        """[52] by which the driver's units are multiplied, 1 unless a profile says otherwise.

        An engine without units has no gains [0]; it may be given a profile's all the same, and does not change.
        """
        return np.ones(0)

    @gains.setter
    def gains(self, _given: NDArray[np.float64]) -> None:
        return

    def calibrate(self, neutral: FaceObservation) -> None:
        """Take this observation as the driver's neutral face. Raises ValueError if it is not tracked."""

    def animate(self, observation: FaceObservation) -> AvatarPose:
        """The pose that answers this observation. Before `calibrate`, and when the face is lost, it eases to rest."""

    def follow(
        self,
        motion: FaceMotion,  # noqa: ARG002
        timestamp_s: float,  # noqa: ARG002
        index: int,  # noqa: ARG002
        tracked: bool = True,  # noqa: ARG002
    ) -> AvatarPose:
        """The pose for a motion that was read elsewhere: by a phone, or in an earlier session. Needs no `calibrate`.

        It is shown as it comes, with neither gains nor smoothing, and eased where `tracked` changes. Raises InputError
        where the engine has no units.
        """
        raise InputError(f"--engine {self.name}: moves by pictures alone; use --engine expression")
