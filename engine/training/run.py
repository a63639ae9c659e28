"""From options to a trained network: what `vfa train` does."""

import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from core.errors import InputError
from engine.flow.network.checkpoint import load_checkpoint, load_lia_weights, save_checkpoint
from engine.flow.network.config import COMPACT, PUBLISHED, NetworkConfig
from engine.flow.network.layers import EqualLinear
from engine.flow.network.network import FaceNetwork
from engine.training.find_batch import find_batch
from engine.training.flow.losses import DistillWeights, GeneratorWeights, PerceptualLoss
from engine.training.flow.stages import StageModel, StageOptions
from engine.training.flow.vgg import load_vgg
from engine.training.loop.distributed import Team, team
from engine.training.loop.feed import Samples
from engine.training.loop.schedule import Schedule
from engine.training.open_samples import has_truth, open_samples
from engine.training.options import TrainOptions
from engine.training.trainer import PUBLISHED_BETAS, Trainer, TrainingPlan

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
    torch.manual_seed(options.seed)
    with team(options.device) as own:
        network = _network(options)
        samples = open_samples(options, network.config)
        model = StageModel(network, options.stage, _stage_options(options), _perceptual(options))
        plan = _plan(options)
        if options.find_batch:
            find_batch(model.to(own.device), samples, options.precision, own)
            return None
        return _train(options, model, samples, plan, own, stop)


def _train(
    options: TrainOptions,
    model: StageModel,
    samples: Samples,
    plan: TrainingPlan,
    own: Team,
    stop: Callable[[], bool],
) -> Path | None:
    options.out.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(model, samples, plan, options.out, own, settings=_settings(options), stop=stop)
    if not (options.resume and trainer.resume()):
        _refuse_overwriting(options)
    done = trainer.run()
    if done < plan.steps or not own.leads:
        return None
    if trainer.average is not None:
        model.network.load_state_dict(trainer.average.values)
    path = options.out / NETWORK_NAME
    save_checkpoint(path, model.network, step=done)
    return path


def _network(options: TrainOptions) -> FaceNetwork:
    if options.init is not None:
        network = load_checkpoint(options.init).network
        _check_channels(network.config, options)
        return network
    sizes = {**_SIZES[options.size].to_dict(), "input_channels": options.channels}
    network = FaceNetwork(NetworkConfig.from_dict(sizes))
    if options.size == "compact":
        start_at_rest(network)
    if options.lia is not None:
        untouched = load_lia_weights(network, options.lia)
        log.info("started from %s; %d tensors start from nothing", options.lia, len(untouched))
    return network


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


def _check_channels(config: NetworkConfig, options: TrainOptions) -> None:
    if config.input_channels != options.channels:
        raise InputError(
            f"{options.init}: takes {config.input_channels} channels, --channels says {options.channels}; give "
            f"--channels {config.input_channels}"
        )


def _stage_options(options: TrainOptions) -> StageOptions:
    base = GeneratorWeights()
    generator = GeneratorWeights(
        perceptual=options.perceptual,
        color_l1=options.color_l1,
        depth_l1=base.depth_l1 * options.depth,
        structure=base.structure * options.depth,
        smoothness=base.smoothness * options.depth,
        flow=options.flow,
        code=options.code,
    )
    distill = DistillWeights(perceptual=options.perceptual, flow=options.flow)
    importance = None
    if has_truth(options.data):
        from engine.training.flow.pair_samples import unit_importance

        importance = torch.from_numpy(unit_importance())
    elif options.stage == "code" or options.truth_code or options.flow or options.code:
        raise InputError(
            f"{options.data}: holds no truth, which stage code, --truth-code, --flow and --code need; give a folder "
            "made by python -m engine.training.flow.make_pairs"
        )
    return StageOptions(
        generator=generator,
        distill=distill,
        freeze_lia=options.lia is not None,
        freeze_encoder=options.freeze_encoder,
        truth_code=options.truth_code,
        importance=importance,
    )


def _perceptual(options: TrainOptions) -> nn.Module | None:
    if options.stage == "code" or not options.perceptual:
        return None
    return PerceptualLoss(load_vgg(options.vgg))


def _plan(options: TrainOptions) -> TrainingPlan:
    schedule = Schedule(
        options.schedule,
        options.rate,
        options.steps,
        warmup=min(200, options.steps // 10) if options.schedule == "cosine" else 0,
        scheduler_every=options.scheduler_every,
    )
    return TrainingPlan(
        schedule=schedule,
        steps=options.steps,
        batch=options.batch,
        precision=options.precision,
        optimizer=options.optimizer,
        betas=(options.momentum, PUBLISHED_BETAS[1]),
        ema=options.ema,
        clip=options.clip,
        workers=options.workers,
        log_every=options.log_every,
        show_every=options.show_every,
        save_every=options.save_every,
        keep=options.keep,
    )


def _refuse_overwriting(options: TrainOptions) -> None:
    if not options.resume and any(options.out.glob("*.pt")):
        raise InputError(f"{options.out}: holds a training run already; go on with --resume, or give another folder")


def _settings(options: TrainOptions) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(options).items()}
