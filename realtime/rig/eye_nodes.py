"""Eyeballs of a rigged document as nodes that a program turns: where they are, and by how much for which unit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from core.face_motion import GAZE_REACH_DEG
from engine.motion.retarget import turned_share
from realtime.rig.head_shapes import HeadShapes
from realtime.rig.rigged_gltf import linear_to_scene
from render.mesh.export.gltf_document import GltfDocument
from render.mesh.export.turning_nodes import Turning, as_nodes

EYE_MARK = "vfaEye"
"""In a node's extras: {unit: [axis, degrees]}, by how much the node turns about its own axis x or y where an ARKit unit
has the weight 1; y before x."""

_SIDES = ("Right", "Left")  # the person's own; picture-left eye first


def eyes_as_nodes(document: GltfDocument, path: Path, shapes: HeadShapes) -> list[str]:
    """Take the eyeballs out of the document's meshes; the names of the nodes they are now. `path`: the head's file."""
    avatar, mesh = shapes.avatar, shapes.rigged.mesh
    linear = linear_to_scene(path, avatar, shapes.rigged)
    T_file_world = np.linalg.inv(avatar.T_world_file)
    upright = linear @ T_file_world[:3, :3]
    axes = upright / np.cbrt(np.linalg.det(upright))
    things = []
    for eye, side in enumerate(_SIDES):
        ball = np.zeros_like(shapes.neutral)
        ball[avatar.rig.eyes[eye].ball] = 1.0
        own = shapes.spread(ball)[:, 0] > 0.5
        if not own.any():
            continue
        centre = T_file_world[:3, :3] @ avatar.rig.eyes[eye].centre + T_file_world[:3, 3]
        points = mesh.vertices[own].astype(np.float64) @ linear.T
        turns = turned_share(avatar.rig, eye)
        things.append(Turning(f"eye{side}", points, linear @ centre, axes, {EYE_MARK: _turns(side, turns)}))
    return as_nodes(document, things)


def _turns(side: str, share: float) -> dict[str, Any]:
    """Of an eye that turns by so large a share of the gaze: about x downwards, about y to the person's left."""
    outwards = 1.0 if side == "Left" else -1.0
    ways = {"Up": ("x", -1.0), "Down": ("x", 1.0), "In": ("y", -outwards), "Out": ("y", outwards)}
    return {
        f"eyeLook{way}{side}": [axis, round(sign * share * GAZE_REACH_DEG[way], 3)]
        for way, (axis, sign) in ways.items()
    }
