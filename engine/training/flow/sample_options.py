"""How training data become samples, with the help text under each field. Apart from the samples themselves, so that
reading it costs no import of what loads them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.training.loop.names import Normalisation


@dataclass(frozen=True, kw_only=True)
class SampleOptions:
    """What is drawn from the data."""

    normalisation: Normalisation = "live"
    """How colours reach the network: as when it runs live, or as the released training code has them."""

    channels: Literal[3, 4] = 4
    """3 for clips without depth."""

    static_source: Path | None = None
    """One picture folder whose first frame is the source of every sample, instead of each clip's own first frame."""

    augment: bool = True
    """Vary colours, place and side, alike for both pictures of a sample."""

    seed: int = 0
    """Of the weights and of everything that is drawn."""
