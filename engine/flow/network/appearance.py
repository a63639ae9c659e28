"""What pictures of avatars usually look like to a network, and how far from that it may be trusted.

The appearance code of a picture that is like no avatar of the training (eyes shut in the scan, a plain mask) leads the
generator astray: it bends the whole face even at rest. Who the avatar is, the generator sees in the picture's features
as well; so such codes are brought back to the edge of what is known (the truncation of Brock, Donahue, Simonyan: "Large
scale GAN training for high fidelity natural image synthesis", ICLR 2019, applied to one direction).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Appearance:
    """Of the avatars that a network was trained on.

    Attributes:
        usual: [S] float32 the mean of their appearance codes.
        reach: how far from it nine of ten lie.
    """

    usual: Tensor
    reach: float

    def brought_back(self, code: Tensor) -> Tensor:
        """[B, S] appearance codes, those from beyond the reach at its edge."""
        away = code - self.usual
        share: Tensor = (self.reach / away.norm(dim=1, keepdim=True).clamp(min=1e-9)).clamp(max=1.0)
        return self.usual + away * share

    def to_content(self) -> dict[str, Any]:
        """Plain values for a checkpoint; `of_content` is the inverse."""
        return {"usual": self.usual.detach().cpu(), "reach": self.reach}

    @staticmethod
    def of_content(content: Mapping[str, Any], size: int) -> "Appearance":
        """For codes of this size. Raises ValueError where the values are not such."""
        usual, reach = content.get("usual"), content.get("reach")
        if not isinstance(usual, Tensor) or usual.shape != (size,) or usual.dtype != torch.float32:
            raise ValueError(f"expected the usual appearance as {size} numbers")
        if not isinstance(reach, float) or not 0 < reach < 1e6 or not torch.isfinite(usual).all():
            raise ValueError("expected a finite usual appearance and its reach")
        return Appearance(usual, reach)
