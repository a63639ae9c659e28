"""Options of the flow engine, with the help text under each field. Nothing is chosen unless it is given: what is left
out follows the checkpoint, so that released ones behave as published."""

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Literal

import tyro

from capture.face.preprocess import ChannelOrder
from core.cache_folder import cache_folder
from core.errors import InputError
from engine.flow.backends.names import BackendName

MOST_NEIGHBOURS, MOST_ROUNDS = 200, 1000

Unprojection = Literal["published", "pinhole"]
"""How pixels return to space. pinhole: through the camera, pixel centres at +0.5. published: what the released code
does, which feeds coordinates 1 - 2x/255 into the inverse of a matrix that yields pixels. All points then lie near the
picture's corner ray, so that displacement sideways shrinks to 1/128 of the true one and a share of the change in depth
appears sideways instead. Kept for exact comparison and selectable."""
Rigid = Literal["deform", "apart"]


@dataclass(frozen=True)
class Quirks:
    """Where the released code does not do what it means to. Its checkpoints were judged with these, so they are kept
    for them by default; networks trained by this project go without. See `FlowOptions` for what each means."""

    driving_channel_order: ChannelOrder
    unprojection: Unprojection
    rigid: Rigid


RELEASED = Quirks("bgr", "published", "deform")
CORRECTED = Quirks("rgb", "pinhole", "apart")


@dataclass(frozen=True, kw_only=True)
class _Choices:
    """Options of which each is None unless it was given."""

    def given(self) -> list[str]:
        """The options that were set, as they are typed."""
        choices = [option.name for option in fields(self) if option.default is None]
        return [f"--{name.replace('_', '-')}" for name in choices if getattr(self, name) is not None]


@dataclass(frozen=True, kw_only=True)
class SourceOptions(_Choices):
    """The avatar's picture, as the flow engine's network sees it."""

    source_renderer: Literal["moderngl", "pytorch3d"] | None = None
    """What draws the avatar for the network: moderngl, or pytorch3d as published, for those who have it installed.
    moderngl when not given."""


@dataclass(frozen=True, kw_only=True)
class RigOptions(_Choices):
    """Controllers and weights of the flow engine."""

    weights: Literal["published", "geodesic"] | None = None
    """published: controllers and weights found as in the paper; geodesic: the avatar's own, which every other engine
    uses. published when not given."""

    weights_k: int | None = None
    """Nearest controllers that move a vertex (published weights), and nearest vertices it is smoothed with. 10 when
    not given."""

    cache_dir: tyro.conf.Suppress[Path | None] = field(default_factory=lambda: cache_folder("flow"))
    """Where solved weights and compiled networks are kept; None: nowhere."""

    def __post_init__(self) -> None:
        if self.weights_k is not None and not 1 <= self.weights_k <= MOST_NEIGHBOURS:
            raise InputError(
                f"--weights-k {self.weights_k}: expected 1 to {MOST_NEIGHBOURS}; the published value is 10"
            )


@dataclass(frozen=True, kw_only=True)
class FlowOptions(RigOptions, SourceOptions):
    """The flow engine (--checkpoint). What is not given is as published, or fits the checkpoint."""

    backend: BackendName | None = None
    """What runs the network: auto picks by device, proves it against eager and says why. auto when not given."""

    guard: Literal["on", "off"] | None = None
    """on: flow moves the avatar only as far as its skin can do what the flow says. When not given, on for this
    project's networks and off for published ones, which off repeats exactly."""

    code: Literal["encoder", "prior"] | None = None
    """What names the driver's expression to this project's networks: their own encoder, which looks at the picture, or
    the expression prior, which the expression engine uses, too. prior when not given; published networks have their
    encoder only."""

    smoothing: float | None = None
    """Share of its neighbours in a vertex's displacement, 0 to 1, each round. 0.6 when not given."""

    smoothing_rounds: int | None = None
    """Rounds of smoothing. 5 when not given."""

    driving_channel_order: ChannelOrder | None = None
    """Colours of the driver as the network gets them. Released checkpoints were judged on bgr (red and blue swapped),
    the default for them; this project's own take rgb."""

    unprojection: Unprojection | None = None
    """How pixels return to space. published repeats the released code, the default for its checkpoints; pinhole is the
    camera's true inverse."""

    rigid: Rigid | None = None
    """deform: head motion is part of the deformation, as released; apart: it turns the head as a whole, and only the
    rest deforms."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.guard == "on" and (self.unprojection == "published" or self.rigid == "deform"):
            raise InputError("--guard on: works with --unprojection pinhole and --rigid apart; leave both out")
        if self.smoothing is not None and not 0 <= self.smoothing <= 1:
            raise InputError(f"--smoothing {self.smoothing:g}: expected 0 to 1; the published value is 0.6")
        if self.smoothing_rounds is not None and not 0 <= self.smoothing_rounds <= MOST_ROUNDS:
            raise InputError(
                f"--smoothing-rounds {self.smoothing_rounds}: expected 0 to {MOST_ROUNDS}; the published value is 5"
            )

    def quirks(self, *, released: bool) -> Quirks:
        """What was chosen, and for the rest the checkpoint's own; guarded motion has to be the true one."""
        chosen = {quirk.name: value for quirk in fields(Quirks) if (value := getattr(self, quirk.name)) is not None}
        own = RELEASED if released else CORRECTED
        if self.guard == "on":
            own = replace(CORRECTED, driving_channel_order=own.driving_channel_order)
        return replace(own, **chosen)
