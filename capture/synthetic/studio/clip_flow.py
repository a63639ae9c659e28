"""Dense flow from a frame of a ground-truth clip to the person's neutral face."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from capture.synthetic.head.posing import NeckPose
from capture.synthetic.studio.clip_studio import ClipFrame, posed_in_camera
from render.gl.rgbd import barycentric

NeutralPose = Literal["same", "start"]


def flow_to_neutral(shot: ClipFrame, pose: NeutralPose = "same") -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Where the surface under each pixel lies in a picture of the neutral face, by the same camera.

    Args:
        pose: of the head in that picture: "same" as in the frame (what is left is expression alone), or as at the
            clip's "start".

    Returns flow [H, W, 2] float32 in pixels (x, y), to be added to a pixel's own place; and mask [H, W], True where the
    person is. Flow is 0 elsewhere. Where another part hides the point in the neutral picture, flow leads there all the
    same.
    """
    target = neutral_in_camera(shot, pose)
    mask = shot.face_id >= 0
    moved = surface_points(shot, target)[mask]
    intrinsics = shot.plan.intrinsics
    rows, columns = np.nonzero(mask)
    flow = np.zeros((*mask.shape, 2), dtype=np.float32)
    flow[mask] = intrinsics.project(moved) - np.stack([columns + 0.5, rows + 0.5], axis=1)
    return flow, mask


def neutral_in_camera(shot: ClipFrame, pose: NeutralPose = "same") -> NDArray[np.float32]:
    """[n, 3] camera frame: the neutral face with the head as in the frame, or as at the start."""
    plan = shot.plan
    number = shot.number if pose == "same" else 0
    return posed_in_camera(plan, number, NeckPose(plan.person.model), plan.person.vertices())


def surface_points(shot: ClipFrame, vertices: NDArray[np.float32]) -> NDArray[np.float64]:
    """[H, W, 3] what the surface points under the frame's pixels become when its vertices are these [n, 3] instead;
    0 where nobody is."""
    faces = np.concatenate(list(shot.plan.person.model.topology.faces.values()))
    weights = barycentric(shot.face_id, shot.camera_m, faces, shot.plan.intrinsics).astype(np.float64)
    corners = vertices.astype(np.float64)[faces[np.maximum(shot.face_id, 0)]]
    return np.asarray(np.einsum("hwk,hwkc->hwc", weights, corners))
