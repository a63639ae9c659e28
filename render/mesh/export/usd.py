"""A rigged mesh as Universal Scene Description: UsdSkel blend shapes on one mesh for each part.

Needs the package usd-core, which the extra `usd` brings. Pictures go into a folder beside the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from render.mesh.export.gltf_new import TURNED
from render.mesh.export.rigged_mesh import RiggedMesh, TurningNormals
from render.mesh.export.shape_animation import ShapeAnimation, turns_and_shifts
from render.mesh.export.usd_scene import (
    add_geometry,
    add_materials,
    check_usd,
    matrix_of,
    stage_of,
    timed,
    word_of,
    words_of,
)

__all__ = ["check_usd", "save_usd"]

_JOINT = "head"


def save_usd(
    rigged: RiggedMesh, path: Path, name: str, animation: ShapeAnimation | None = None, fps: float = 30.0
) -> None:
    """Write `path` (.usd, .usda, .usdc). It appears when it is whole. Raises OSError; InputError without usd-core.

    Args:
        animation: weights of the shapes over time, by name, and the motion of the joint that carries the head; keys at
            its own times, as time codes of `fps` a second.
    """
    with stage_of(path) as stage:
        from pxr import UsdSkel

        root = UsdSkel.Root.Define(stage, f"/{word_of(name)}")
        stage.SetDefaultPrim(root.GetPrim())
        linear = np.eye(4)
        linear[:3, :3] = rigged.T_metres_file[:3, :3].T  # rows times matrix, as USD has it
        root.AddTransformOp().Set(matrix_of(linear))
        binding = _skeleton(stage, root.GetPath(), rigged)
        looks = add_materials(stage, root.GetPath(), rigged.mesh.materials, path)
        _meshes(stage, root.GetPath(), rigged, binding, looks)
        if animation is not None:
            _animate(stage, binding[1], rigged.names, animation, fps)


def _animate(stage: Any, prim: Any, names: tuple[str, ...], animation: ShapeAnimation, fps: float) -> None:
    """Time samples for weights in the order of `names`, and for the joint."""
    from pxr import Gf, Vt

    codes = timed(stage, animation.times_s, fps)
    weights = np.zeros((len(codes), len(names)), dtype=np.float32)
    for column, shape in enumerate(animation.names):
        weights[:, names.index(shape)] = animation.weights[:, column]
    attribute = prim.GetBlendShapeWeightsAttr()
    for code, row in zip(codes.tolist(), weights, strict=True):
        attribute.Set(Vt.FloatArray.FromNumpy(row), code)
    if animation.T_file_head is None:
        return
    turns, shifts = turns_and_shifts(animation.T_file_head, np.eye(3))
    for code, turn, shift in zip(codes.tolist(), turns.tolist(), shifts.tolist(), strict=True):
        prim.GetTranslationsAttr().Set([Gf.Vec3f(*shift)], code)
        prim.GetRotationsAttr().Set([Gf.Quatf(turn[3], *turn[:3])], code)


def _skeleton(stage: Any, root: Any, rigged: RiggedMesh) -> tuple[Any, Any]:
    """A skeleton of one joint, and an animation that holds a weight for each shape: UsdSkel hangs shapes on these."""
    from pxr import Gf, UsdSkel, Vt

    skeleton = UsdSkel.Skeleton.Define(stage, root.AppendChild("Skeleton"))
    above = UsdSkel.BindingAPI.Apply(stage.GetPrimAtPath(root))  # what is inherited from here moves the skeleton, too
    above.CreateAnimationSourceRel().SetTargets([root.AppendChild("Animation")])
    skeleton.CreateJointsAttr([_JOINT])
    skeleton.CreateBindTransformsAttr([Gf.Matrix4d(1.0)])
    skeleton.CreateRestTransformsAttr([Gf.Matrix4d(1.0)])
    animation = UsdSkel.Animation.Define(stage, root.AppendChild("Animation"))
    animation.CreateJointsAttr([_JOINT])
    animation.CreateTranslationsAttr([Gf.Vec3f(0.0)])
    animation.CreateRotationsAttr([Gf.Quatf(1.0)])
    animation.CreateScalesAttr([Gf.Vec3h(1.0)])
    animation.CreateBlendShapesAttr(list(rigged.names))
    animation.CreateBlendShapeWeightsAttr(Vt.FloatArray([0.0] * len(rigged.names)))
    return skeleton, animation


def _meshes(stage: Any, root: Any, rigged: RiggedMesh, binding: tuple[Any, Any], looks: list[Any]) -> None:
    from pxr import UsdSkel, Vt

    mesh, normals = rigged.mesh, TurningNormals(rigged.mesh)
    parts = [part for part in mesh.parts if part.face_count]
    bound, layouts = [], []
    for part, word in zip(parts, words_of([part.name for part in parts]), strict=True):
        geometry, vertex = add_geometry(stage, root.AppendChild(word), mesh, part, looks[part.material], normals.rest)
        skinned = UsdSkel.BindingAPI.Apply(geometry.GetPrim())
        skinned.CreateSkeletonRel().SetTargets([binding[0].GetPath()])
        skinned.CreateAnimationSourceRel().SetTargets([binding[1].GetPath()])
        skinned.CreateJointIndicesPrimvar(True, 1).Set([0])
        skinned.CreateJointWeightsPrimvar(True, 1).Set([1.0])
        bound.append((geometry.GetPath(), skinned))
        layouts.append(vertex)
    own: list[list[tuple[str, Any]]] = [[] for _ in parts]
    for shape, word in zip(rigged.shapes, words_of(list(rigged.names)), strict=True):
        moved, change = shape.dense(len(mesh.vertices)), normals.of(shape) - normals.rest
        acts = moved.any(axis=1) | (np.abs(change).max(axis=1) > TURNED)
        for (path, _), vertex, used in zip(bound, layouts, own, strict=True):
            rows = np.flatnonzero(acts[vertex])
            if not len(rows):
                continue
            target = UsdSkel.BlendShape.Define(stage, path.AppendChild(word))
            target.CreatePointIndicesAttr(Vt.IntArray.FromNumpy(rows.astype(np.int32)))
            target.CreateOffsetsAttr(Vt.Vec3fArray.FromNumpy(moved[vertex[rows]]))
            target.CreateNormalOffsetsAttr(Vt.Vec3fArray.FromNumpy(change[vertex[rows]].astype(np.float32)))
            used.append((shape.name, target.GetPath()))
    for (_, skinned), used in zip(bound, own, strict=True):
        skinned.CreateBlendShapesAttr([name for name, _ in used])
        skinned.CreateBlendShapeTargetsRel().SetTargets([target for _, target in used])
