"""What a stage of training the flow network weighs and leaves alone, with the help text under each field. Apart from
`stages`, so that reading it costs no import of PyTorch."""

from dataclasses import dataclass, field

import tyro


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """How much each loss counts. Those that need rendered pairs are left out where the data hold no truth."""

    perceptual: float = 1.0
    """Weight of the perceptual loss; 0 leaves it out, and needs no VGG weights."""

    color_l1: float = 0.0
    """Weight of the absolute colour difference beside the perceptual loss."""

    depth: float = 1.0
    """Factor on all three depth losses."""

    flow: float = 0.0
    """Weight of the flow error in pixels; needs rendered pairs."""

    code: float = 0.0
    """Weight of the motion code's error in the generator stage; needs rendered pairs."""


@dataclass(frozen=True, kw_only=True)
class StageOptions:
    """What a stage learns from, and what it leaves as it is."""

    weights: tyro.conf.OmitArgPrefixes[LossWeights] = field(default_factory=LossWeights)

    truth_code: bool = False
    """Move the avatar by the true units instead of the encoder's code, in the generator stage; needs rendered pairs."""

    freeze_encoder: bool = False
    """Leave the encoder as it is, in the generator stage."""

    bring_back: bool = False
    """Bring avatars that look unlike all others back to what --init was trained on, as a session does, instead of
    learning how they look."""

    freeze_lia: tyro.conf.Suppress[bool] = False
    """Keep what the released code keeps when it starts from LIA's weights."""
