"""Which engine drives an avatar on this machine, and why."""

import logging

from calib.avatar import Avatar
from engine.landmark_engine import LandmarkEngine
from engine.motion import MotionEngine
from realtime.config import MotionOptions
from render.errors import InputError

log = logging.getLogger(__name__)


def make_engine(options: MotionOptions, avatar: Avatar) -> MotionEngine:
    """The engine that was asked for; for "auto" the best one there is. Raises InputError if it cannot be had."""
    if options.engine == "flow":
        raise InputError("--engine flow: expected a flow engine, this build has none; use --engine landmark or auto")
    if options.engine == "auto":
        log.info("engine: landmark, the only one in this build")
    return LandmarkEngine(avatar, head_pose=options.head_pose)
