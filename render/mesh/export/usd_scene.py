"""What every USD file of a head is made of: the stage, names that USD takes, materials, one geometry for each part."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.errors import InputError
from core.mesh import Material, Mesh, MeshPart
from core.whole_file import whole_file
from render.mesh.export.gltf_looks import srgb_to_linear
from render.mesh.export.gltf_new import whole
from render.mesh.export.rigged_mesh import unrolled


def check_usd() -> None:
    """Raises InputError where the package is not installed."""
    try:
        import pxr.UsdSkel  # noqa: F401
    except ImportError:
        raise InputError(
            '--format usd: needs the package usd-core, which is not installed; pip install "vfa-live[usd]"'
        ) from None


@contextmanager
def stage_of(path: Path) -> Iterator[Any]:
    """A stage, y up, in metres, that is written to `path` (.usd, .usda, .usdc) where the block ends well. It appears
    when it is whole. Raises OSError; InputError without usd-core."""
    check_usd()
    from pxr import Sdf, Usd, UsdGeom

    with whole_file(path) as temporary:
        kind = "usda" if path.suffix.lower() == ".usda" else "usdc"
        layer = Sdf.Layer.CreateAnonymous(f".{kind}")
        stage = Usd.Stage.Open(layer)
        UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
        UsdGeom.SetStageMetersPerUnit(stage, 1.0)
        yield stage
        if not layer.Export(str(temporary), args={"format": kind}):
            raise OSError(f"{path}: USD could not write it")


def timed(stage: Any, times_s: NDArray[np.float64], fps: float) -> NDArray[np.float64]:
    """Let a stage play from the first of `times_s` [T] to the last; the time codes [T] of these: frames at `fps`, which
    need not be whole."""
    codes = np.asarray(times_s * fps)
    stage.SetTimeCodesPerSecond(fps)
    stage.SetFramesPerSecond(fps)
    stage.SetStartTimeCode(float(codes[0]))
    stage.SetEndTimeCode(float(codes[-1]))
    return codes


def word_of(name: str) -> str:
    """A name that USD takes for a prim."""
    word = re.sub(r"\W", "_", name, flags=re.ASCII) or "head"
    return word if not word[0].isdigit() else f"_{word}"


def words_of(names: list[str]) -> list[str]:
    """The same for several that have to differ."""
    found: list[str] = []
    for name in map(word_of, names):
        free = name
        while free in found:
            free = f"{name}_{sum(each.startswith(name) for each in found)}"
        found.append(free)
    return found


def matrix_of(values: NDArray[np.float64]) -> Any:
    from pxr import Gf

    return Gf.Matrix4d(*values.reshape(-1).tolist())


def add_materials(stage: Any, root: Any, materials: tuple[Material, ...], path: Path) -> list[Any]:
    """Materials below `root`; pictures go into a folder beside `path`."""
    from pxr import UsdGeom

    scope = root.AppendChild("Materials")
    UsdGeom.Scope.Define(stage, scope)
    words = words_of([material.name for material in materials])
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


def add_geometry(
    stage: Any, at: Any, mesh: Mesh, part: MeshPart, look: Any, normals: NDArray[np.float64]
) -> tuple[Any, NDArray[np.int64]]:
    """One part of a mesh as a prim, and the mesh's vertex behind each of its points [n].

    Args:
        normals: [V, 3] of the mesh at rest.
    """
    from pxr import Sdf, UsdGeom, UsdShade, Vt

    vertex, uvs, faces = unrolled(mesh, slice(part.first_face, part.first_face + part.face_count))
    geometry = UsdGeom.Mesh.Define(stage, at)
    geometry.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(mesh.vertices[vertex]))
    geometry.CreateNormalsAttr(Vt.Vec3fArray.FromNumpy(whole(normals[vertex]).astype(np.float32)))
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
    UsdShade.MaterialBindingAPI.Apply(geometry.GetPrim()).Bind(look)
    return geometry, vertex
