"""Options of the flow engine. Nothing is chosen unless it is given: what is left out follows the checkpoint, so that
released ones behave as published."""

from dataclasses import dataclass
from typing import Literal

from capture.face.preprocess import ChannelOrder
from core.errors import InputError
from engine.flow.backends.names import BackendName

MOST_NEIGHBOURS, MOST_ROUNDS = 200, 1000


class Settings:
    """Options of which each is None unless it was given."""

    def given(self) -> list[str]:
        """The options that were set, as they are typed."""
        return [f"--{name.replace('_', '-')}" for name, value in vars(self).items() if value is not None]


@dataclass(frozen=True, kw_only=True)
class SourceSettings(Settings):
    """The avatar's picture, as the flow engine's network sees it."""

    source_renderer: Literal["moderngl", "pytorch3d"] | None = None
    """What draws the avatar for the network: moderngl, or pytorch3d as published, for those who have it installed.
    moderngl when not given."""


@dataclass(frozen=True, kw_only=True)
class WeightSettings(Settings):
    """Controllers and weights of the flow engine."""

    weights: Literal["published", "geodesic"] | None = None
    """published: controllers and weights found as in the paper; geodesic: the avatar's own, which every other engine
    uses. published when not given."""

    weights_k: int | None = None
    """Nearest controllers that move a vertex (published weights), and nearest vertices it is smoothed with. 10 when
    not given."""

    def __post_init__(self) -> None:
        if self.weights_k is not None and not 1 <= self.weights_k <= MOST_NEIGHBOURS:
            raise InputError(
                f"--weights-k {self.weights_k}: expected 1 to {MOST_NEIGHBOURS}; the published value is 10"
            )


@dataclass(frozen=True, kw_only=True)
class FlowSettings(WeightSettings, SourceSettings):
    """The flow engine (--checkpoint). What is not given is as published, or fits the checkpoint."""

    backend: BackendName | None = None
    """What runs the network: auto picks by device, proves it against eager and says why. auto when not given."""

    smoothing: float | None = None
    """Share of its neighbours in a vertex's displacement, 0 to 1, each round. 0.6 when not given."""

    smoothing_rounds: int | None = None
    """Rounds of smoothing. 5 when not given."""

    driving_channel_order: ChannelOrder | None = None
    """Colours of the driver as the network gets them. Released checkpoints were judged on bgr (red and blue swapped),
    the default for them; this project's own take rgb."""

    unprojection: Literal["published", "pinhole"] | None = None
    """How pixels return to space. published repeats the released code, the default for its checkpoints; pinhole is the
    camera's true inverse."""

    rigid: Literal["deform", "apart"] | None = None
    """deform: head motion is part of the deformation, as released; apart: it turns the head as a whole, and only the
    rest deforms."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.smoothing is not None and not 0 <= self.smoothing <= 1:
            raise InputError(f"--smoothing {self.smoothing:g}: expected 0 to 1; the published value is 0.6")
        if self.smoothing_rounds is not None and not 0 <= self.smoothing_rounds <= MOST_ROUNDS:
            raise InputError(
                f"--smoothing-rounds {self.smoothing_rounds}: expected 0 to {MOST_ROUNDS}; the published value is 5"
            )
