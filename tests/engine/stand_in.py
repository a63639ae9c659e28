"""The published network filled with the deterministic stand-in weights, and small networks of other sizes."""

import importlib.util
import json
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

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
