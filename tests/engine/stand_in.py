"""The published network filled with the deterministic stand-in weights, and small networks of other sizes."""

import importlib.util
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.camera import PUBLISHED_INTRINSICS, Intrinsics, look_at
from engine.flow.network.config import NetworkConfig
from engine.flow.network.network import FaceNetwork

SMALL = NetworkConfig(
    image_size=32, widths={4: 16, 8: 16, 16: 12, 32: 8}, style_dim=24, motion_dim=6, inpaint_widths=(8, 8, 12)
)


@cache
def published_state(reference: Path) -> dict[str, Tensor]:
    """The 338 entries of the published checkpoint's layout with stand-in values."""
    spec = importlib.util.spec_from_file_location("weights_recipe", reference / "weights_recipe.py")
    assert spec is not None
    assert spec.loader is not None
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    layout = json.loads((reference / "state_dict.json").read_text())
    state = {}
    for name, shape in layout["parameters"].items():
        kernel = layout["fir_kernels"].get(name)
        state[name] = torch.tensor(kernel) if kernel else torch.from_numpy(np.asarray(recipe.value(name, tuple(shape))))
    return state


@cache
def published_network(reference: Path) -> FaceNetwork:
    network = FaceNetwork()
    network.load_state_dict(published_state(reference))
    return network.eval().requires_grad_(False)


@cache
def small_network(seed: int = 0) -> FaceNetwork:
    """A network of a few thousand weights with well-behaved random values."""
    torch.manual_seed(seed)
    network = FaceNetwork(SMALL)
    with torch.no_grad():
        for name, value in network.named_parameters():
            if name.endswith("bias") and "modulation" not in name:
                value.normal_(0, 0.1)
    return network.eval().requires_grad_(False)


def picture(seed: int, size: int) -> Tensor:
    """A smooth random RGBD picture [1, 4, size, size] in [-1, 1]."""
    coarse = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=True)
    return smooth.clamp(-1, 1)


@dataclass(frozen=True, eq=False)
class PicturedHead:
    """An avatar as far as a network sees it; implements `calib.close_up.Pictured`."""

    source_rgb: NDArray[np.uint8]
    source_depth: NDArray[np.float32]
    intrinsics: Intrinsics
    T_camera_world: NDArray[np.float64]


def pictured_head(seed: int, size: int) -> PicturedHead:
    """A smooth random picture of size², before the published camera."""
    planes = picture(seed, size)[0].numpy()
    rgb = ((planes[:3].transpose(1, 2, 0) + 1) * 127.5).astype(np.uint8)
    return PicturedHead(rgb, planes[3] + 8, PUBLISHED_INTRINSICS, look_at((0.0, 0.0, 8.0)))
