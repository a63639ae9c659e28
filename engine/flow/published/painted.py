"""What the network itself paints of the avatar: the picture that the published tool calls generated."""

import numpy as np
import torch
from numpy.typing import NDArray

from engine.flow.network.network import FaceNetwork


class PaintedAvatar:
    """The network's teacher, which paints an avatar in colour for a motion code; the live graph is without it.

    Runs on the processor, uncompiled: some tenths of a second a picture.

    Args:
        network: one that knows head motion, as published: others of this project never learned to paint.
        source: [4, N, N] float32 in [-1, 1] the avatar's picture as the network is given it.
    """

    def __init__(self, network: FaceNetwork, source: NDArray[np.float32]) -> None:
        self._network = network
        with torch.no_grad():
            self._appearance, self._alpha, self._features = network.enc(torch.from_numpy(source)[None])

    def __call__(self, code: NDArray[np.float32] | None) -> NDArray[np.uint8]:
        """[N, N, 3] for a motion code [1, M], the driver's plus what their neutral lacks to the avatar's own
        (`FlowEngine.code`); None: the avatar's own."""
        with torch.inference_mode():
            alpha = self._alpha if code is None else torch.from_numpy(code)
            rgb = self._network.dec(self._appearance + self._network.dec.direction(alpha), self._features).rgb[0]
            painted = ((rgb.clamp(-1, 1) + 1) * 127.5).round().byte()
        return np.ascontiguousarray(painted.permute(1, 2, 0).numpy())
