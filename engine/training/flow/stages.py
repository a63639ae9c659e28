"""What each stage of training computes and which weights it changes.

| stage | learns | from |
|---|---|---|
| code | encoder's motion code | expression units of rendered drivers (this project's own; needs truth) |
| generator | encoder and RGBD generator, as published | pictures; with truth also flow and motion code |
| distill | flow generator, as published | the frozen generator's pictures; with truth also flow |
"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from capture.face.head_crop import EMPTY
from engine.flow.network.appearance import Appearance
from engine.flow.network.generator import GeneratedRgbd
from engine.flow.network.layers import identity_grid
from engine.flow.network.network import FaceNetwork
from engine.training.flow.losses import (
    code_error,
    distill_loss,
    flow_error,
    generator_loss,
    mask_error,
    surface_error,
)
from engine.training.flow.stage_options import StageOptions
from engine.training.loop.names import StageName

Batch = dict[str, Tensor]
"""source, driving, target [B, C, N, N]; start [B, C, N, N]: the driver's neutral, where it is not the source itself.
With truth: offset [B, N, N, 2] and shown [B, N, N] (`known` of the module `pairs`), known [B, N, N] how much the
flow of a pixel counts, code [B, M] units of the driving frame. The code stage has frames [B, K, C, N, N] of one person
each, and their units [B, K, M]."""

_RELATIVE, _ABSOLUTE = 1.0, 0.3
_SURFACE, _MASK = 0.5, 0.5  # beside the flow
_UNUSED = ("dec.to_rgb1.", ".noise.weight")
_OF_LIA = tuple(
    f"dec.{part}." for part in ("input", "conv1", "convs.0", "convs.1", "to_rgbs.0", "to_flows.0", "direction")
)


class StageModel(nn.Module):
    """Batch → weighted loss terms by name. Freezes all weights that its stage does not train.

    Args:
        perceptual: judges colours; None leaves that out.
        importance: [M] how much each unit of the motion code counts; all alike where None.
        appearance: to which sources' are brought back; None leaves them as they are.
    """

    importance: Tensor

    def __init__(
        self,
        network: FaceNetwork,
        stage: StageName,
        options: StageOptions,
        perceptual: nn.Module | None = None,
        importance: Tensor | None = None,
        appearance: Appearance | None = None,
    ) -> None:
        super().__init__()
        if perceptual is None:  # colour heads that nothing judges are not trained
            options = replace(options, weights=replace(options.weights, perceptual=0.0))
        self.network, self.stage, self.options, self.perceptual = network, stage, options, perceptual
        self.appearance = appearance
        alike = torch.ones(network.config.motion_dim)
        self.register_buffer("importance", alike if importance is None else importance)
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(is_trained(name, stage, options))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        if self.stage == "code":
            return self._code(batch)
        if self.stage == "generator":
            return self._generator(batch)
        return self._distill(batch)

    def _code(self, batch: Batch) -> dict[str, Tensor]:
        frames, units = batch["frames"], batch["units"]
        flat = frames.flatten(0, 1)
        if frames.device.type == "cpu":
            flat = flat.contiguous(memory_format=torch.channels_last)  # a third faster there
        codes = self.network.enc.motion(flat).reshape(*frames.shape[:2], -1)
        moved, wanted = codes - codes.mean(dim=1, keepdim=True), units - units.mean(dim=1, keepdim=True)
        return {
            "code": _RELATIVE * code_error(moved.flatten(0, 1), wanted.flatten(0, 1), self.importance),
            "code_absolute": _ABSOLUTE * code_error(codes.flatten(0, 1), units.flatten(0, 1), self.importance),
        }

    def _generator(self, batch: Batch) -> dict[str, Tensor]:
        weights = self.options.weights
        rgbd, code = self.generate(batch)
        terms = generator_loss(rgbd, batch["target"], self.perceptual, weights)
        if weights.flow and "offset" in batch:
            terms |= _motion_terms(weights.flow, offset_of(rgbd.flow_logits), rgbd.flow_logits[:, 2], batch)
            surface = surface_error(rgbd.depth, batch["target"][:, 3:], batch["known"])
            terms["surface"] = _SURFACE * weights.flow * surface
        if weights.code and code is not None and "code" in batch:
            terms["code"] = weights.code * code_error(code, batch["code"], self.importance)
        return terms

    def _distill(self, batch: Batch) -> dict[str, Tensor]:
        weights = self.options.weights
        with torch.no_grad():
            rgbd, _ = self.generate(batch)
        motion = self.network.student_dec(rgbd.flow_logits, rgbd.latent, batch["source"][:, :3])
        terms = distill_loss(motion, rgbd.rgb, self.perceptual, weights)
        if weights.flow and "offset" in batch:
            offset = motion.flow - identity_grid(motion.flow.shape[1], motion.flow.device)
            terms |= _motion_terms(weights.flow, offset, torch.logit(motion.mask[:, 0], eps=1e-5), batch)
        return terms

    def generate(self, batch: Batch) -> tuple[GeneratedRgbd, Tensor | None]:
        """The generator's pictures, and the code [B, M] of the motion as the encoder sees it (None: truth was used)."""
        network, options = self.network, self.options
        with torch.set_grad_enabled(torch.is_grad_enabled() and not options.freeze_encoder):
            h, alpha, features = network.enc(batch["source"])
            if self.appearance is not None:
                h = self.appearance.brought_back(h)
                alpha = network.enc.fc(h)
        if options.truth_code:
            code = None
            latent = h + network.dec.direction(alpha + batch["code"])
        else:
            code = network.enc.motion(batch["driving"])
            if "start" in batch:
                code = code - network.enc.motion(batch["start"])
                latent = h + network.dec.direction(alpha + code)
            else:  # the source starts the clip: its own code cancels
                latent = h + network.dec.direction(code)
        rgbd: GeneratedRgbd = network.dec(latent, features)
        return rgbd, code


def is_trained(name: str, stage: StageName, options: StageOptions) -> bool:
    """Whether a stage changes the parameter of this name."""
    if any(part in name for part in _UNUSED):
        return False
    if stage == "code":
        return name.startswith("enc.")
    if stage == "distill":
        return name.startswith("student_dec.")
    if name.startswith("enc."):
        return not options.freeze_encoder and not (options.truth_code and name.startswith("enc.fc."))
    if not name.startswith("dec.") or (options.freeze_lia and name.startswith(_OF_LIA)):
        return False
    uses_color = options.weights.perceptual > 0 or options.weights.color_l1 > 0
    return uses_color or not name.startswith("dec.to_rgbs.")


def _motion_terms(weight: float, offset: Tensor, mask_logits: Tensor, batch: Batch) -> dict[str, Tensor]:
    on_avatar = (batch["target"][:, 3] < EMPTY).to(offset.dtype)
    return {
        "flow": weight * flow_error(offset, batch["offset"], batch["known"]),
        "mask": _MASK * weight * mask_error(mask_logits, batch["shown"], on_avatar),
    }


def offset_of(flow_logits: Tensor) -> Tensor:
    """[B, N, N, 2] backward flow less the identity, from the generator's last flow logits [B, 3, N, N]."""
    return torch.tanh(flow_logits[:, :2]).permute(0, 2, 3, 1)
