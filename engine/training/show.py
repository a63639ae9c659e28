"""Sheets of pictures that tell at a glance how far training is."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.flow.network.layers import identity_grid, sample
from engine.training.flow.stages import Batch, StageModel

_ROWS = 4


@torch.no_grad()
def sheet(model: StageModel, batch: Batch) -> NDArray[np.uint8]:
    """[H, W, 3] one line for each of the first samples: driver where one is needed, source, target, generated, warped,
    depth."""
    few = {name: value[:_ROWS] for name, value in batch.items()}
    if "frames" in few:  # the code stage has no avatar
        return _grid([list(few["frames"].unbind(1))])
    source = few["source"]
    was_training = model.training
    model.eval()
    rgbd, _ = model.generate(few)
    motion = model.network.student_dec.motion(rgbd.flow_logits, rgbd.latent)[0]
    if model.stage == "generator":
        motion = identity_grid(source.shape[-1], source.device) + torch.tanh(rgbd.flow_logits[:, :2]).permute(
            0, 2, 3, 1
        )
    model.train(was_training)
    warped = sample(source[:, :3], motion)
    drivers = [few["driving"]] if "driving" in few else []
    return _grid([[*drivers, source, few["target"], rgbd.rgb, warped, rgbd.depth]])


def _grid(columns: list[list[Tensor]]) -> NDArray[np.uint8]:
    pictures = [p[:, :3] if p.shape[1] >= 3 else p.expand(-1, 3, -1, -1) for p in columns[0]]
    lines = torch.cat(pictures, dim=3)  # [B, 3, N, sum of N]
    tall = torch.cat(list(lines), dim=1).permute(1, 2, 0)
    shown: NDArray[np.uint8] = ((tall.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu().numpy()
    return shown
