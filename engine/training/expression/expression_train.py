"""Trains the expression prior on recorded synthetic clips and writes the file that the engine ships.

python -m engine.training.expression.expression_train --data DATA --out engine/data/expression_prior.npz
"""

import json
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from torch import Tensor, nn

from core.expression_units import UNIT_COUNT
from engine.expression.expression_features import SECTIONS, section
from engine.expression.expression_prior import FARTHEST_INPUT, PRIOR_FILE, PriorWeights, read_weights, write_weights
from engine.training.expression.clip_record import load_records
from engine.training.expression.expression_samples import Samples, make_mirror, make_samples, unit_metric
from engine.training.expression.expression_score import score

Array = NDArray[np.float32]

_SHORT: Final = slice(section("displacement").stop, section("shape").start)
_LEAST_SPREAD = 0.02  # components that vary less than this share of the first are not blown up to unit spread
_LEAST_SCORE_SPREAD = 0.1  # real faces move the tracker's coefficients farther than rendered ones do
_METRIC_MM = 0.6  # motion below which errors count absolutely
_COMMAND = "python -m engine.training.expression.expression_train"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PriorTrainingOptions:
    """Attributes:
    data: folder that `engine.training.expression.expression_dataset` filled, with "train" and "test" in it.
    out: file to write.
    start: a prior to go on from, instead of from nothing; a fifth of the rate and a few epochs are enough then.
    epochs: rounds over the data.
    batch: looks per step.
    rate: first learning rate; it falls to zero along a cosine.
    decay: of the weights (AdamW).
    hidden: widths of the perceptron's hidden layers.
    components: principal components kept of the landmarks' displacement.
    shape_components: principal components kept of the neutral shape.
    neutrals: neutral looks that every look is compared with.
    noise: standard deviation of the noise added to the inputs, in standard deviations of each.
    pose_noise: of the rigid fit and of the size, radians and shares; real trackers err more than on renders.
    dropout: share of hidden values left out.
    scores_dropout: share of looks whose tracker coefficients are blanked, so that nothing hangs on them.
    scores_gain: the coefficients are multiplied by random factors, so many times more or less (natural logarithm).
    unit_weight: of errors in the units themselves, beside those in what is seen.
    ridge: of the linear baseline.
    seed: of everything random.
    threads: of torch.
    """

    data: Path
    out: Path = PRIOR_FILE
    start: Path | None = None
    epochs: int = 13
    batch: int = 512
    rate: float = 1.5e-3
    decay: float = 1e-2
    hidden: tuple[int, ...] = (768, 384)
    components: int = 224
    shape_components: int = 24
    neutrals: int = 2
    noise: float = 0.05
    pose_noise: float = 0.006
    dropout: float = 0.08
    scores_dropout: float = 0.4
    scores_gain: float = 0.4
    unit_weight: float = 0.3
    ridge: float = 30.0
    seed: int = 1
    threads: int = 1


@dataclass(frozen=True, eq=False)
class Reduction:
    """From features to the inputs [Z] of the networks; see `engine.expression.expression_prior.PriorWeights`."""

    displacement_basis: Array
    shape_basis: Array
    offset: Array
    scale: Array

    def __call__(self, features: Array) -> Array:
        return np.asarray((self.projected(features) - self.offset) * self.scale, dtype=np.float32)

    @staticmethod
    def of(weights: PriorWeights) -> "Reduction":
        """That of a prior which is there already."""
        return Reduction(weights.displacement_basis, weights.shape_basis, weights.offset, weights.scale)

    def projected(self, features: Array) -> Array:
        """[N, Z] before they are shifted and scaled."""
        return _projected(features, self.displacement_basis, self.shape_basis)


def fit_reduction(features: Array, options: PriorTrainingOptions) -> Reduction:
    """Principal components of the long parts, unit spread for every input."""
    displacement = _principal(features[:, section("displacement")], options.components)
    shape = _principal(features[:, section("shape")], options.shape_components)
    values = _projected(features, displacement, shape)
    spread = values.std(axis=0)
    spread[: options.components] = np.maximum(spread[: options.components], _LEAST_SPREAD * spread[0])
    scores = _scores(options.components)
    spread[scores] = np.maximum(spread[scores], _LEAST_SCORE_SPREAD)
    offset = values.mean(axis=0)
    offset[: options.components] = 0  # the neutral face stays at zero
    return Reduction(displacement, shape, offset.astype(np.float32), (1 / np.maximum(spread, 1e-3)).astype(np.float32))


def _scores(components: int) -> slice:
    """Where the tracker's coefficients lie among the inputs, behind so many components of the displacement."""
    start = components + section("scores").start - section("displacement").stop
    return slice(start, start + SECTIONS["scores"])


def _projected(features: Array, displacement_basis: Array, shape_basis: Array) -> Array:
    parts = (
        features[:, section("displacement")] @ displacement_basis.T,
        features[:, _SHORT],
        features[:, section("shape")] @ shape_basis.T,
    )
    return np.concatenate(parts, axis=1)


def _principal(values: Array, count: int) -> Array:
    """[count, D] principal components of [N, D], those of most variance first."""
    centred = values - values.mean(axis=0)
    _, vectors = np.linalg.eigh((centred.T @ centred).astype(np.float64))
    return np.ascontiguousarray(vectors[:, ::-1][:, :count].T, dtype=np.float32)


def pose_modes(features: Array, reduction: Reduction) -> Array:
    """[6, Z] how the inputs change when the rigid fit is off by one radian about each axis or the size, width or depth
    of the face by its whole."""
    shape = features[:, section("shape")].mean(axis=0).reshape(-1, 3)
    axes = np.eye(3)
    fields = [np.cross(axis, shape) for axis in axes] + [shape * axis for axis in axes]
    modes = np.zeros((6, features.shape[1]), np.float32)
    modes[:, section("displacement")] = np.array([(field - field[_RIGID_MIDDLE]).ravel() for field in fields])
    return np.asarray(reduction.projected(modes) * reduction.scale, dtype=np.float32)


_RIGID_MIDDLE: Final = 6  # a landmark on the bridge of the nose, which the rigid fit pins


def fit_linear(inputs: Array, units: Array, ridge: float) -> Array:
    """[52, Z] ridge regression through zero."""
    normal = inputs.T @ inputs + ridge * len(inputs) / 1000 * np.eye(inputs.shape[1], dtype=np.float32)
    return np.asarray(np.linalg.solve(normal, inputs.T @ units).T, dtype=np.float32)


class PriorNet(nn.Module):
    """A linear map plus a perceptron with SiLU; the twin of `PriorWeights.outputs`."""

    def __init__(self, linear: Array, hidden: tuple[int, ...], dropout: float) -> None:
        super().__init__()
        self.linear = nn.Parameter(torch.from_numpy(linear.copy()))
        widths = (linear.shape[1], *hidden, UNIT_COUNT)
        layers = [nn.Linear(one, two) for one, two in pairwise(widths)]
        nn.init.zeros_(layers[-1].weight)
        nn.init.zeros_(layers[-1].bias)
        self.layers = nn.ModuleList(layers)
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: Tensor) -> Tensor:
        """[B, Z] → [B, 52]."""
        hidden = inputs
        for number, layer in enumerate(self.layers):
            if number:
                hidden = self.dropout(nn.functional.silu(hidden))
            hidden = layer(hidden)
        return hidden + inputs @ self.linear.T

    @staticmethod
    def of(weights: PriorWeights, dropout: float) -> "PriorNet":
        """The net that a file holds."""
        net = PriorNet(weights.linear, tuple(len(bias) for _, bias in weights.layers[:-1]), dropout)
        for number, (matrix, bias) in enumerate(weights.layers):
            state = {"weight": torch.from_numpy(matrix), "bias": torch.from_numpy(bias)}
            net.layers[number].load_state_dict(state)
        return net

    def matrices(self) -> tuple[tuple[Array, Array], ...]:
        """Weights and biases of the perceptron, first layer first."""
        layers = [layer for layer in self.layers if isinstance(layer, nn.Linear)]
        return tuple((layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in layers)


@dataclass(frozen=True, eq=False)
class Loss:
    """Motion left unexplained, relative to the motion, plus errors in the units.

    Attributes:
        root: [52, 52] with rootᵀ·root the unit metric, mm.
        unit_weight: of the errors in the units.
    """

    root: Tensor
    unit_weight: float

    def __call__(self, estimated: Tensor, units: Tensor) -> Tensor:
        error = estimated - units
        wrong = ((error @ self.root.T).square().sum(1) + 1e-4).sqrt()
        moved = (units @ self.root.T).norm(dim=1)
        unexplained: Tensor = (wrong / (moved + _METRIC_MM)).mean()
        return unexplained + self.unit_weight * error.square().sum(1).mean()


def make_loss(options: PriorTrainingOptions) -> Loss:
    values, vectors = np.linalg.eigh(unit_metric().gram)
    root = (vectors * np.sqrt(np.maximum(values, 0))).T
    return Loss(torch.from_numpy(root.astype(np.float32)), options.unit_weight)


def train(samples: Samples, options: PriorTrainingOptions) -> PriorWeights:
    """Fit the prior; both sides of every face are learned from both."""
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    metric = unit_metric()
    mirror = make_mirror(metric.unit_names)
    start = None if options.start is None else read_weights(options.start)
    reduction = fit_reduction(samples.features, options) if start is None else Reduction.of(start)
    inputs = torch.from_numpy(
        np.concatenate([reduction(samples.features), reduction(mirror.features(samples.features))])
    )
    units = torch.from_numpy(np.concatenate([samples.units, mirror.units(samples.units)]))
    spoil = Spoiler(pose_modes(samples.features, reduction), len(reduction.displacement_basis), options)
    if start is None:
        net = PriorNet(fit_linear(inputs.numpy(), units.numpy(), options.ridge), options.hidden, options.dropout)
    else:
        net = PriorNet.of(start, options.dropout)
    _optimise(net, (inputs, units), make_loss(options), spoil, options)
    return PriorWeights(
        metric.unit_names,
        reduction.displacement_basis,
        reduction.shape_basis,
        reduction.offset,
        reduction.scale,
        net.linear.detach().numpy(),
        net.matrices(),
    )


class Spoiler:
    """Adds to inputs [B, Z] what real faces and sensors add and renders do not."""

    def __init__(self, modes: Array, components: int, options: PriorTrainingOptions) -> None:
        self._modes = torch.from_numpy(modes)
        self._options = options
        self._scores = _scores(components)

    def __call__(self, inputs: Tensor) -> Tensor:
        options = self._options
        noisy = inputs + options.noise * torch.randn_like(inputs)
        noisy[:, self._scores] *= torch.exp(options.scores_gain * torch.randn(len(inputs), 1))
        noisy += options.pose_noise * torch.randn(len(inputs), len(self._modes)) @ self._modes
        blank = torch.rand(len(inputs)) < options.scores_dropout
        noisy[blank, self._scores] = 0
        return noisy.clamp_(-FARTHEST_INPUT, FARTHEST_INPUT)


def _optimise(
    net: PriorNet,
    data: tuple[Tensor, Tensor],
    loss: Loss,
    spoil: Callable[[Tensor], Tensor],
    options: PriorTrainingOptions,
) -> None:
    inputs, units = data
    optimiser = torch.optim.AdamW(net.parameters(), lr=options.rate, weight_decay=options.decay)
    steps = options.epochs * (len(inputs) // options.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, options.rate, total_steps=max(steps, 1), pct_start=0.08)
    for epoch in range(options.epochs):
        started, total = time.perf_counter(), 0.0
        order = torch.randperm(len(inputs))[: len(inputs) // options.batch * options.batch].view(-1, options.batch)
        for chosen in order:
            optimiser.zero_grad()
            value = loss(net(spoil(inputs[chosen])), units[chosen])
            torch.autograd.backward(value)
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            total += value.item()
        mean = total / max(len(order), 1)
        log.info("epoch %d of %d: loss %.4f, %.0f s", epoch + 1, options.epochs, mean, time.perf_counter() - started)
    net.eval()


def main(options: PriorTrainingOptions) -> None:
    """Train, write the file, and report how much of the motion of unseen people it explains."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    records = load_records(options.data / "train")
    samples = make_samples(records, options.seed, options.neutrals)
    log.info("%d looks of %d people", len(samples), len(records))
    weights = train(samples, options)
    write_weights(options.out, weights)
    report = {"options": asdict(options), "people": len(records), "looks": len(samples)}
    report["explained"] = score(weights, load_records(options.data / "test"))
    print(json.dumps(report, indent=1, default=str))


if __name__ == "__main__":
    main(tyro.cli(PriorTrainingOptions, prog=_COMMAND, description=__doc__))
