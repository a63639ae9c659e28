"""The whole network: encoder, teacher and student under the names of the published checkpoint."""

from dataclasses import dataclass

from torch import Tensor, nn

from engine.flow.network.config import PUBLISHED, NetworkConfig
from engine.flow.network.encoder import Encoder
from engine.flow.network.flow_generator import FlowGenerator, GeneratedFlow
from engine.flow.network.generator import GeneratedRgbd, Generator


@dataclass
class NetworkOutput:
    """What one driving picture makes of a source."""

    rgbd: GeneratedRgbd
    motion: GeneratedFlow


class FaceNetwork(nn.Module):
    """Versatile Face Animator (arXiv 2308.06076): RGBD source and driving pictures become flow, depth and colour."""

    def __init__(self, config: NetworkConfig = PUBLISHED) -> None:
        super().__init__()
        self.config = config
        self.enc = Encoder(config)
        self.dec = Generator(config)
        self.student_dec = FlowGenerator(config)

    def latent_code(self, h_source: Tensor, alpha_source: Tensor, alpha_driving: Tensor, alpha_start: Tensor) -> Tensor:
        """[B, S] appearance of the source with the driver's motion since `start` added to the source's own."""
        direction = self.dec.direction
        latent: Tensor = h_source + direction(alpha_driving) - direction(alpha_start) + direction(alpha_source)
        return latent

    def forward(self, source: Tensor, driving: Tensor, start: Tensor) -> NetworkOutput:
        """All three pictures are [B, 4, N, N] in [-1, 1]: the avatar, the driver now, the driver's neutral."""
        h_source, alpha_source, features = self.enc(source)
        latent = self.latent_code(h_source, alpha_source, self.enc.motion(driving), self.enc.motion(start))
        rgbd = self.dec(latent, features)
        return NetworkOutput(rgbd, self.student_dec(rgbd.flow_logits, latent, source[:, :3]))
