"""Which engine drives an avatar on this machine, and why."""

import logging

from calib.avatar import Avatar
from engine.motion import MotionEngine
from realtime.config import MotionOptions

log = logging.getLogger(__name__)


def make_engine(options: MotionOptions, avatar: Avatar) -> MotionEngine:
    """The engine that was asked for; for "auto" the best one there is. Raises InputError if it cannot be had.

    "auto" is the landmark engine unless a checkpoint is given: without one there is no network to run.
    """
    if options.checkpoint is not None:
        from engine.flow_engine import FlowEngine, FlowOptions

        log.info("engine: flow, because a checkpoint is given")
        return FlowEngine(avatar, options.checkpoint, FlowOptions(backend=options.backend), options.head_pose)
    from engine.landmark_engine import LandmarkEngine

    if options.engine == "auto":
        log.info("engine: landmark, because no checkpoint is given (--checkpoint VFA.pt selects the flow engine)")
    return LandmarkEngine(avatar, head_pose=options.head_pose)
