"""A rigged mesh as Universal Scene Description: UsdSkel blend shapes on one mesh for each part.

Needs the package usd-core, which the extra `usd` brings. Pictures go into a folder beside the file.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.errors import InputError
from core.mesh import Material
from core.whole_file import whole_file
from render.mesh.export.gltf_looks import srgb_to_linear
from render.mesh.export.gltf_new import TURNED, whole
from render.mesh.export.rigged_mesh import RiggedMesh, TurningNormals, unrolled

_JOINT = "head"


def check_usd() -> None:
    """Raises InputError where the package is not installed."""
    try:
        import pxr.UsdSkel  # noqa: F401
    except ImportError:
        raise InputError(
            '--format usd: needs the package usd-core, which is not installed; pip install "vfa-live[usd]"'
        ) from None


def save_usd(rigged: RiggedMesh, path: Path, name: str) -> None:
    """Write `path` (.usd, .usda, .usdc). It appears when it is whole. Raises OSError; InputError without usd-core."""
    check_usd()
    from pxr import Sdf, Usd, UsdGeom, UsdSkel

    with whole_file(path) as temporary:
        kind = "usda" if path.suffix.lower() == ".usda" else "usdc"
        layer = Sdf.Layer.CreateAnonymous(f".{kind}")
        stage = Usd.Stage.Open(layer)
        UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
        UsdGeom.SetStageMetersPerUnit(stage, 1.0)
        root = UsdSkel.Root.Define(stage, f"/{_word(name)}")
        stage.SetDefaultPrim(root.GetPrim())
        linear = np.eye(4)
        linear[:3, :3] = rigged.T_metres_file[:3, :3].T  # rows times matrix, as USD has it
        root.AddTransformOp().Set(_matrix(linear))
        binding = _skeleton(stage, root.GetPath(), rigged)
        looks = _materials(stage, root.GetPath(), rigged, path)
        _meshes(stage, root.GetPath(), rigged, binding, looks)
        if not layer.Export(str(temporary), args={"format": kind}):
            raise OSError(f"{path}: USD could not write it")


def _word(name: str) -> str:
    """A name that USD takes for a prim."""
    word = re.sub(r"\W", "_", name, flags=re.ASCII) or "head"
    return word if not word[0].isdigit() else f"_{word}"


def _words(names: list[str]) -> list[str]:
    """The same for several that have to differ."""
    found: list[str] = []
    for name in map(_word, names):
        free = name
        while free in found:
            free = f"{name}_{sum(each.startswith(name) for each in found)}"
        found.append(free)
    return found


def _matrix(values: NDArray[np.float64]) -> Any:
    from pxr import Gf

    return Gf.Matrix4d(*values.reshape(-1).tolist())


def _skeleton(stage: Any, root: Any, rigged: RiggedMesh) -> tuple[Any, Any]:
    """A skeleton of one joint, and an animation that holds a weight for each shape: UsdSkel hangs shapes on these."""
    from pxr import Gf, UsdSkel, Vt

    skeleton = UsdSkel.Skeleton.Define(stage, root.AppendChild("Skeleton"))
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


def _materials(stage: Any, root: Any, rigged: RiggedMesh, path: Path) -> list[Any]:
    from pxr import UsdGeom

    scope = root.AppendChild("Materials")
    UsdGeom.Scope.Define(stage, scope)
    materials = rigged.mesh.materials
    words = _words([material.name for material in materials])
    return [
        _material(stage, scope.AppendChild(w), m, path, n)
        for n, (w, m) in enumerate(zip(words, materials, strict=True))
    ]


def _material(stage: Any, at: Any, material: Material, path: Path, number: int) -> Any:
    from pxr import Gf, Sdf, UsdShade

    made = UsdShade.Material.Define(stage, at)
    surface = UsdShade.Shader.Define(stage, at.AppendChild("Surface"))
    surface.CreateIdAttr("UsdPreviewSurface")
    surface.CreateInput("roughness", Sdf.ValueTypeNames.Float).Set(0.7)
    surface.CreateInput("metallic", Sdf.ValueTypeNames.Float).Set(0.0)
    colour = surface.CreateInput("diffuseColor", Sdf.ValueTypeNames.Color3f)
    opacity = surface.CreateInput("opacity", Sdf.ValueTypeNames.Float)
    colour.Set(Gf.Vec3f(*srgb_to_linear(np.array(material.base_color[:3])).tolist()))
    opacity.Set(float(material.base_color[3]))
    if material.texture is not None:
        picture = path.parent / f"{path.stem}_textures" / f"{number}.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(picture) as temporary:
            Image.fromarray(material.texture).save(temporary, "PNG")
        reader = UsdShade.Shader.Define(stage, at.AppendChild("Coordinates"))
        reader.CreateIdAttr("UsdPrimvarReader_float2")
        reader.CreateInput("varname", Sdf.ValueTypeNames.String).Set("st")
        texture = UsdShade.Shader.Define(stage, at.AppendChild("Texture"))
        texture.CreateIdAttr("UsdUVTexture")
        texture.CreateInput("file", Sdf.ValueTypeNames.Asset).Set(f"./{picture.parent.name}/{picture.name}")
        texture.CreateInput("wrapS", Sdf.ValueTypeNames.Token).Set("repeat")
        texture.CreateInput("wrapT", Sdf.ValueTypeNames.Token).Set("repeat")
        texture.CreateInput("st", Sdf.ValueTypeNames.Float2).ConnectToSource(
            reader.CreateOutput("result", Sdf.ValueTypeNames.Float2)
        )
        colour.ConnectToSource(texture.CreateOutput("rgb", Sdf.ValueTypeNames.Float3))
        if material.alpha_mode != "OPAQUE":
            opacity.ConnectToSource(texture.CreateOutput("a", Sdf.ValueTypeNames.Float))
    if material.alpha_mode == "MASK":
        surface.CreateInput("opacityThreshold", Sdf.ValueTypeNames.Float).Set(material.alpha_cutoff)
    made.CreateSurfaceOutput().ConnectToSource(surface.CreateOutput("surface", Sdf.ValueTypeNames.Token))
    return made


def _meshes(stage: Any, root: Any, rigged: RiggedMesh, binding: tuple[Any, Any], looks: list[Any]) -> None:
    from pxr import Sdf, UsdGeom, UsdShade, UsdSkel, Vt

    mesh, normals = rigged.mesh, TurningNormals(rigged.mesh)
    parts = [part for part in mesh.parts if part.face_count]
    bound, layouts = [], []
    for part, word in zip(parts, _words([part.name for part in parts]), strict=True):
        vertex, uvs, faces = unrolled(mesh, slice(part.first_face, part.first_face + part.face_count))
        geometry = UsdGeom.Mesh.Define(stage, root.AppendChild(word))
        geometry.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(mesh.vertices[vertex]))
        geometry.CreateNormalsAttr(Vt.Vec3fArray.FromNumpy(whole(normals.rest[vertex]).astype(np.float32)))
        geometry.SetNormalsInterpolation(UsdGeom.Tokens.vertex)
        geometry.CreateFaceVertexCountsAttr(Vt.IntArray.FromNumpy(np.full(len(faces), 3, dtype=np.int32)))
        geometry.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(faces.reshape(-1).astype(np.int32)))
        geometry.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
        geometry.CreateDoubleSidedAttr(mesh.materials[part.material].double_sided)
        variables = UsdGeom.PrimvarsAPI(geometry)
        if uvs is not None:
            st = variables.CreatePrimvar("st", Sdf.ValueTypeNames.TexCoord2fArray, UsdGeom.Tokens.vertex)
            st.Set(Vt.Vec2fArray.FromNumpy(np.ascontiguousarray(uvs, dtype=np.float32)))
        if mesh.vertex_colors is not None:
            linear = srgb_to_linear(mesh.vertex_colors[vertex]).astype(np.float32)
            geometry.CreateDisplayColorPrimvar(UsdGeom.Tokens.vertex).Set(Vt.Vec3fArray.FromNumpy(linear))
        UsdShade.MaterialBindingAPI.Apply(geometry.GetPrim()).Bind(looks[part.material])
        skinned = UsdSkel.BindingAPI.Apply(geometry.GetPrim())
        skinned.CreateSkeletonRel().SetTargets([binding[0].GetPath()])
        skinned.CreateAnimationSourceRel().SetTargets([binding[1].GetPath()])
        skinned.CreateJointIndicesPrimvar(True, 1).Set([0])
        skinned.CreateJointWeightsPrimvar(True, 1).Set([1.0])
        bound.append((geometry.GetPath(), skinned))
        layouts.append(vertex)
    own: list[list[tuple[str, Any]]] = [[] for _ in parts]
    for shape, word in zip(rigged.shapes, _words(list(rigged.names)), strict=True):
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
