"""Which engine drives an avatar on this machine, and why."""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calib.avatar import Avatar
from calib.rigging.morphs import own_units
from core.camera import transform_points
from core.errors import InputError
from engine.flow.ours.shipped import COMPACT_FILE
from engine.flow.ours.tuned import tuned_file
from engine.flow.published.flow_options import SourceOptions
from engine.motion.neck_bend import NeckBend
from engine.motion.protocol import MotionEngine
from realtime.config import MotionOptions

log = logging.getLogger(__name__)

_FOR_OURS = ("--backend", "--source-renderer", "--guard", "--code")


def make_engine(options: MotionOptions, avatar: Avatar) -> MotionEngine:
    """The engine that was asked for; for "auto" the best one there is. Raises InputError if it cannot be had.

    "auto" is the flow engine where a checkpoint is given, otherwise the expression engine, which repeats a face most
    faithfully (`benchmarks.likeness`); for heads with landmarks placed by hand the landmark engine: units made for
    human faces crumple snouts and painted eyes. The shapes of a file move it by the expression engine alone: for others
    such a head is a bare mesh.
    """
    if options.checkpoint is not None or options.engine in ("landmark", "flow"):
        need = f"--engine {options.engine}" if options.checkpoint is None else "--checkpoint"
        avatar = avatar.as_bare_mesh(need)
    checkpoint, why = options.checkpoint, "because a checkpoint is given"
    if checkpoint is None and options.engine == "flow":
        checkpoint, why = _compact_network(options, avatar)
    if checkpoint is not None:
        log.info("engine: flow, %s", why)
        return _flow_engine(options, checkpoint, with_source(avatar, options.flow))
    by_hand = options.engine == "auto" and avatar.by_hand and avatar.file_mesh.morphs is None
    if by_hand:
        log.info("engine: landmark, because this head's landmarks were placed by hand")
    if options.engine == "landmark" or by_hand:
        from engine.landmark.landmark_engine import LandmarkEngine

        return LandmarkEngine(avatar, head_pose=options.head_pose)
    from engine.expression.expression_engine import ExpressionEngine

    if options.engine == "auto":
        log.info("engine: expression, the most faithful one without a checkpoint")
    return ExpressionEngine(avatar, head_pose=options.head_pose, units=own_units(avatar))


def _compact_network(options: MotionOptions, avatar: Avatar) -> tuple[Path, str]:
    """This project's network for an avatar, and which it is."""
    if options.flow.cache_dir is not None:
        own = tuned_file(avatar, options.flow.cache_dir)
        if own.is_file():
            return own, "its compact network, tuned to this head"
    return COMPACT_FILE, "its compact network"


def _flow_engine(options: MotionOptions, checkpoint: Path, avatar: Avatar) -> MotionEngine:
    """The engine that fits the checkpoint: published networks move the head as well, this project's the face alone."""
    from core.native.compiled_library import NativeError
    from engine.flow.backends.native_library import flow_kernels
    from engine.flow.flow_network import open_network
    from engine.flow.following_kernels import compiled_kernels
    from engine.flow.ours.compact_flow_engine import CompactFlowEngine
    from engine.flow.published.flow_engine import FlowEngine

    compiled_kernels()
    with suppress(NativeError):  # without a compiler NumPy does it
        flow_kernels()  # compiled here, in the time of preparing, and not with the first frame
    coded = options.flow.code != "encoder"
    network = open_network(avatar, checkpoint, options.flow.backend or "auto", options.flow.cache_dir, coded=coded)
    if options.flow.code == "prior" and not network.coded:
        raise InputError(f"--code prior: {checkpoint.name} has a motion code of its own; leave it out")
    if network.head_motion:
        return FlowEngine(avatar, network, options.flow, options.head_pose, NeckBend(avatar.rig.neck, avatar.rig.rest))
    published = [name for name in options.flow.given() if name not in _FOR_OURS]
    if published:
        raise InputError(f"{published[0]}: {checkpoint.name} moves the avatar's own controllers; leave it out")
    return CompactFlowEngine(avatar, network, options.head_pose, guard=options.flow.guard != "off")


def painter_of(options: MotionOptions, avatar: Avatar, engine: MotionEngine) -> Callable[[], NDArray[np.uint8]] | None:
    """What the engine's network paints of the avatar for the frame answered last, [N, N, 3]; None for engines whose
    network paints nothing: all but published ones. Raises InputError."""
    from engine.flow.published.flow_engine import FlowEngine

    if not isinstance(engine, FlowEngine) or options.checkpoint is None:
        return None
    from calib.close_up import network_picture
    from engine.flow.network.checkpoint import load_checkpoint
    from engine.flow.published.painted import PaintedAvatar

    source = network_picture(with_source(avatar, options.flow), head_motion=True)
    painted = PaintedAvatar(load_checkpoint(options.checkpoint).network, source)
    return lambda: painted(engine.code)


def with_source(avatar: Avatar, options: SourceOptions) -> Avatar:
    """The avatar with the picture that the network sees drawn by what was asked for. Raises InputError."""
    if options.source_renderer != "pytorch3d":
        return avatar
    from calib.published.pytorch3d_source import pytorch3d_rgbd

    mesh = avatar.file_mesh
    placed = replace(mesh, vertices=transform_points(avatar.T_world_file, mesh.vertices).astype(np.float32))
    picture = pytorch3d_rgbd(placed, avatar.T_camera_world, avatar.intrinsics)
    return replace(avatar, source_rgb=picture.rgb, source_depth=picture.depth)
