"""The flow engine that fits a checkpoint."""

from pathlib import Path
from typing import TYPE_CHECKING

from calib.avatar import Avatar
from calib.close_up import network_picture
from engine.flow.flow_network import open_network
from engine.flow.ours.compact_flow_engine import CompactFlowEngine
from engine.flow.published.flow_engine import FlowEngine
from engine.flow.published.flow_options import FlowOptions
from engine.motion.protocol import HeadPose

if TYPE_CHECKING:
    from engine.flow.network.checkpoint import Checkpoint


def open_flow_engine(
    avatar: Avatar,
    checkpoint: "Path | Checkpoint",
    options: FlowOptions | None = None,
    head_pose: HeadPose = "follow",
) -> FlowEngine | CompactFlowEngine:
    """Raises InputError for a checkpoint, avatar or backend that cannot be used."""
    options = options or FlowOptions()
    network = open_network(
        lambda head_motion: network_picture(avatar, head_motion=head_motion),
        checkpoint,
        options.backend or "auto",
        options.cache_dir,
    )
    if network.head_motion:
        return FlowEngine(avatar, network, options, head_pose)
    return CompactFlowEngine(avatar, network, head_pose)
