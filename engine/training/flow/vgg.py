"""Feature networks of the perceptual loss, with weights from files only: nothing is ever downloaded.

VGG (Simonyan and Zisserman 2014) up to relu5_1, cut into the five published slices relu1_1 … relu5_1.
"""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.errors import InputError, pip_line
from engine.flow.network.checkpoint_file import read_checkpoint

_CONVS_PER_BLOCK = {"vgg16": (2, 2, 3, 3), "vgg19": (2, 2, 4, 4)}
_WIDTHS = (64, 128, 256, 512, 512)
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the pictures VGG was trained on
_PACKAGED = "weights/vST0.0/vgg_shift_tolerant.pth"


class VggSlices(nn.Module):
    """Pictures [B, 3, H, W] in [-1, 1] → the five feature maps, each right after its ReLU. Weights are frozen.

    Pictures are brought to VGG's own normalisation first, which the weights expect.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, convs_per_block: tuple[int, ...] = _CONVS_PER_BLOCK["vgg19"]) -> None:
        super().__init__()
        plan = [(width, count) for width, count in zip(_WIDTHS, (*convs_per_block, 1), strict=True)]
        self.convs = nn.ModuleList()
        self._first_of_block: list[int] = []
        c_in = 3
        for width, count in plan:
            self._first_of_block.append(len(self.convs))
            for _ in range(count):
                self.convs.append(nn.Conv2d(c_in, width, 3, padding=1))
                c_in = width
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None] * 2 - 1)
        self.register_buffer("std", torch.tensor(_STD)[:, None, None] * 2)
        self.eval().requires_grad_(False)

    def forward(self, picture: Tensor) -> list[Tensor]:
        features: list[Tensor] = []
        x = (picture - self.mean) / self.std
        for index, conv in enumerate(self.convs):
            first = index in self._first_of_block
            if first and index:
                x = F.max_pool2d(x, 2)
            x = F.relu(conv(x))
            if first:
                features.append(x)
        return features


def load_vgg(path: Path | None = None) -> VggSlices:
    """The feature network from a file, or from the installed package `stlpips-pytorch` (VGG16, BSD-2) when None.

    Files: a state dict of torchvision's VGG19 or VGG16 (`features.N.weight`). Raises InputError where there is none or
    it is something else.
    """
    if path is None:
        return _packaged_vgg()
    if not path.is_file():
        raise InputError(f"{path}: expected VGG19 weights, found no such file; check --vgg")
    return _filled(_convolutions(read_checkpoint(path)), str(path))


def _packaged_vgg() -> VggSlices:
    spec = importlib.util.find_spec("stlpips_pytorch")
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            "perceptual loss: needs VGG weights; give torchvision's VGG19 with --vgg FILE, or install VGG16's with  "
            f"{pip_line('--no-deps', 'stlpips-pytorch')}  , or leave it out with --perceptual 0"
        )
    path = Path(spec.submodule_search_locations[0]) / _PACKAGED
    if not path.is_file():
        raise InputError(f"{path}: the package stlpips-pytorch lacks its VGG weights; install it again")
    return _filled(_convolutions(read_checkpoint(path)), _PACKAGED)


def _convolutions(state: Mapping[Any, Any]) -> list[tuple[Tensor, Tensor]]:
    """(weight, bias) of every 3x3 convolution, in the order of the file, which is that of the network."""
    pairs = []
    for name, weight in state.items():
        bias = state.get(str(name).removesuffix("weight") + "bias") if str(name).endswith("weight") else None
        if isinstance(weight, Tensor) and isinstance(bias, Tensor) and weight.shape[2:] == (3, 3):
            pairs.append((weight, bias))
    return pairs


def _filled(convs: list[tuple[Tensor, Tensor]], name: str) -> VggSlices:
    by_count = {sum(counts) + (counts[-1]): counts for counts in _CONVS_PER_BLOCK.values()}  # 13 and 16: block 5 as 4
    counts = by_count.get(len(convs))
    if counts is None:
        raise InputError(
            f"{name}: expected the 16 convolutions of VGG19 or the 13 of VGG16, got {len(convs)}; give another file"
        )
    network = VggSlices(counts)
    for layer, (weight, bias) in zip(network.convs, convs, strict=False):
        assert isinstance(layer, nn.Conv2d)
        assert layer.bias is not None
        if weight.shape != layer.weight.shape or bias.shape != layer.bias.shape:
            raise InputError(
                f"{name}: expected a VGG convolution of {tuple(layer.weight.shape)}, got {tuple(weight.shape)}; "
                "give torchvision's VGG19"
            )
        if not (torch.isfinite(weight).all() and torch.isfinite(bias).all()):
            raise InputError(f"{name}: expected finite weights, found others; copy it again")
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    return network
