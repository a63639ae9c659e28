"""From options to a trained network: what `vfa train` does."""

import logging
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from core.errors import InputError
from engine.flow.network.appearance import Appearance
from engine.flow.network.checkpoint import load_checkpoint, load_lia_weights, save_checkpoint
from engine.flow.network.config import COMPACT, PUBLISHED, NetworkConfig
from engine.flow.network.layers import EqualLinear
from engine.flow.network.network import FaceNetwork
from engine.training.find_batch import find_batch
from engine.training.flow.losses import PerceptualLoss
from engine.training.flow.stages import StageModel
from engine.training.flow.vgg import load_vgg
from engine.training.loop.distributed import Team, team
from engine.training.loop.feed import Samples
from engine.training.open_samples import has_truth, open_samples
from engine.training.options import TrainOptions
from engine.training.trainer import Trainer

NETWORK_NAME = "network.pt"
_AT_REST, _SMALL_CODE = 0.01, 0.1
_SIZES = {"published": PUBLISHED, "compact": COMPACT}

log = logging.getLogger(__name__)


def train(options: TrainOptions, stop: Callable[[], bool] = lambda: False) -> Path | None:
    """Run one stage; returns the finished network's file, or None where the run was stopped or only looked for a batch.

    Raises InputError for what does not fit together.
    """
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    torch.manual_seed(options.samples.seed)
    with team(options.device) as own:
        network = _network(options)
        samples = open_samples(options, network.config)
        unseen = options.stage == "code" or not options.learning.weights.perceptual
        perceptual = None if unseen else PerceptualLoss(load_vgg(options.vgg))
        learning = replace(options.learning, freeze_lia=options.lia is not None)
        appearance = _appearance(options)
        model = StageModel(network, options.stage, learning, perceptual, _importance(options), appearance)
        if options.find_batch:
            find_batch(model.to(own.device), samples, options.plan.precision, own)
            return None
        return _train(options, model, appearance, samples, own, stop)


def _train(
    options: TrainOptions,
    model: StageModel,
    appearance: Appearance | None,
    samples: Samples,
    own: Team,
    stop: Callable[[], bool],
) -> Path | None:
    options.out.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(model, samples, options.plan, options.out, own, settings=asdict(options), stop=stop)
    if not options.resume and any(options.out.glob("*.pt")):
        raise InputError(f"{options.out}: holds a training run already; go on with --resume, or give another folder")
    if options.resume:
        trainer.resume()
    done = trainer.run()
    if done < options.plan.steps or not own.leads:
        return None
    if trainer.average is not None:
        model.network.load_state_dict(trainer.average.values)
    path = options.out / NETWORK_NAME
    save_checkpoint(path, model.network, step=done, appearance=appearance)
    return path


def _network(options: TrainOptions) -> FaceNetwork:
    if options.init is not None:
        network = load_checkpoint(options.init).network
        if (takes := network.config.input_channels) != options.samples.channels:
            raise InputError(
                f"{options.init}: takes {takes} channels, --channels says {options.samples.channels}; give "
                f"--channels {takes}"
            )
        return network
    sizes = {**_SIZES[options.size].to_dict(), "input_channels": options.samples.channels}
    network = FaceNetwork(NetworkConfig.from_dict(sizes))
    if options.size == "compact":
        start_at_rest(network)
    if options.lia is not None:
        untouched = load_lia_weights(network, options.lia)
        log.info("started from %s; %d tensors start from nothing", options.lia, len(untouched))
    return network


def _appearance(options: TrainOptions) -> Appearance | None:
    """What `options.init` was trained on, where avatars are to be brought back to it. Raises InputError."""
    if not options.learning.bring_back:
        return None
    appearance = None if options.init is None else load_checkpoint(options.init).appearance
    if appearance is None:
        raise InputError(
            "--bring-back: needs an --init that knows its usual appearance; "
            "python -m engine.training.flow.usual_appearance adds it to one"
        )
    return appearance


@torch.no_grad()
def start_at_rest(network: FaceNetwork) -> None:
    """Let the teacher start with hardly any flow and the student with the teacher's, instead of with noise: from a
    hundred pixels off, most of a short training would go into getting back.

    The motion code starts small, behind layers that pass on what they are given: five random linear layers in a row
    first learn to say nothing at all, and then have hardly a gradient left to learn anything else from.
    """
    *passing, last = cast(list[EqualLinear], list(network.enc.fc))
    for layer in passing:
        layer.weight.copy_(torch.eye(len(layer.weight)) / layer.scale)
    last.weight.mul_(_SMALL_CODE)
    for name, parameter in network.dec.to_flows.named_parameters():
        if name.endswith("conv.weight"):
            parameter.mul_(_AT_REST)
    conv = network.student_dec.style_conv
    conv.weight.zero_()
    for channel in range(3):
        conv.weight[0, channel, channel, 1, 1] = 1 / conv.scale
    conv.modulation.weight.zero_()


def _importance(options: TrainOptions) -> Tensor | None:
    """[M] how much each unit counts where the truth is known; raises InputError where it is needed and is not."""
    if has_truth(options.data):
        from engine.training.flow.pair_samples import unit_importance

        return torch.from_numpy(unit_importance())
    weights = options.learning.weights
    if options.stage == "code" or options.learning.truth_code or weights.flow or weights.code:
        raise InputError(
            f"{options.data}: holds no truth, which stage code, --truth-code, --flow and --code need; give a folder "
            "made by python -m engine.training.flow.make_pairs"
        )
    return None
