"""Eyeballs: spheres whose rings follow pupil, iris and white, turned by the eight gaze units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capture.synthetic.head.head_data import HeadData
from core.rigid_motion import rotation_matrix, rotation_vector
from core.sphere import Sphere

SEGMENTS = 36
# Angles from the eye's axis in degrees. Pairs of close rings keep the borders of pupil and iris sharp.
RINGS_DEG = (4.0, 9.0, 10.2, 14.0, 18.5, 22.5, 24.6, 26.2, 31.0, 38.0, 46.0, 56.0, 68.0, 84.0, 105.0, 135.0)
PUPIL_RINGS = 2  # the first rings lie in the pupil
IRIS_RINGS = 7  # those before this index in pupil or iris
GAZE_GAIN = 1.7  # the artists turn the eyes by 10 to 15 degrees only; eyes reach twice that
GAZE_UNITS = tuple(f"eyeLook{way}" for way in ("Up", "Down", "In", "Out"))


@dataclass(frozen=True, eq=False)
class EyeShape:
    """A unit eyeball looking along +z.

    Attributes:
        vertices: [n, 3] float64; the iris is a shallow dish, as it looks through the cornea.
        faces: [f, 3] int32.
        angle_deg: [n] from the axis; azimuth: [n] radians around it.
    """

    vertices: NDArray[np.float64]
    faces: NDArray[np.int32]
    angle_deg: NDArray[np.float64]
    azimuth: NDArray[np.float64]


def make_eye() -> EyeShape:
    angle = np.concatenate([[0.0], np.repeat(RINGS_DEG, SEGMENTS), [180.0]])
    turn = np.tile(np.arange(SEGMENTS) * 2 * np.pi / SEGMENTS, len(RINGS_DEG))
    azimuth = np.concatenate([[0.0], turn, [0.0]])
    polar = np.radians(angle)
    vertices = np.stack([np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], axis=1)
    iris_deg = RINGS_DEG[IRIS_RINGS - 1]
    dish = np.clip(1 - angle / iris_deg, 0, 1) ** 0.6 * 0.035 + 0.012 * (angle < RINGS_DEG[IRIS_RINGS])
    vertices *= (1 - dish)[:, None]
    return EyeShape(vertices, _faces(), angle, azimuth)


def _faces() -> NDArray[np.int32]:
    ring = np.arange(SEGMENTS, dtype=np.int32)
    after = (ring + 1) % SEGMENTS
    last = 1 + (len(RINGS_DEG) - 1) * SEGMENTS
    end = last + SEGMENTS
    faces = [np.stack([np.zeros_like(ring), 1 + ring, 1 + after], axis=1)]
    for start in range(1, last, SEGMENTS):
        a, b, c, d = start + ring, start + SEGMENTS + ring, start + SEGMENTS + after, start + after
        faces += [np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)]
    faces.append(np.stack([last + ring, np.full_like(ring, end), last + after], axis=1))
    return np.concatenate(faces).astype(np.int32)


def gaze_vectors(data: HeadData, side: str) -> dict[str, NDArray[np.float64]]:
    """Rotation vector [3] in radians of each gaze unit at weight 1, after the artists' own eye targets (Kabsch)."""
    indices = data.part_vertices(f"eye_{side}")
    rest = data.vertices[indices].astype(np.float64)
    rest -= rest.mean(axis=0)
    vectors = {}
    for unit in (f"{name}{side.capitalize()}" for name in GAZE_UNITS):
        moved = rest + data.dense(f"unit/{unit}")[indices]
        u, _, vt = np.linalg.svd(rest.T @ (moved - moved.mean(axis=0)))
        rotation = vt.T @ np.diag([1, 1, np.linalg.det(vt.T @ u.T)]) @ u.T
        vectors[unit] = GAZE_GAIN * rotation_vector(rotation)
    return vectors


def placed(shape: EyeShape, eyeball: Sphere, gaze: NDArray[np.float64]) -> NDArray[np.float64]:
    """[n, 3] vertices of the eyeball in the head, turned by the rotation vector `gaze`."""
    turned = shape.vertices @ rotation_matrix(gaze).T
    return np.asarray(eyeball.centre + eyeball.radius * turned)
