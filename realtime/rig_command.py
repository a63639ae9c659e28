"""`vfa rig`: a head with shapes for other programs."""

import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from core.errors import InputError
from core.whole_file import whole_file
from core.writable import check_writable, writing_to
from realtime.avatar_choice import avatar_path, check_new, prepared_avatar
from realtime.config import AvatarOptions
from realtime.progress import console, step_bar
from realtime.rig.naming import Naming

if TYPE_CHECKING:
    from calib.avatar import Avatar
    from realtime.rig.doubts import RigReport
    from realtime.rig.head_shapes import HeadShapes
    from render.mesh.export.gltf_document import GltfDocument
    from render.mesh.export.rigged_mesh import RiggedMesh

log = logging.getLogger(__name__)

Format = Literal["glb", "usd", "obj-per-shape"]
_VRM = ".vrm"
_GLTF = (".glb", ".gltf", _VRM)
_ENDINGS = {"glb": (".glb", _VRM), "usd": (".usd", ".usda", ".usdc")}


@dataclass(frozen=True, kw_only=True)
class RigOptions(AvatarOptions):
    """Give a head 52 shapes with ARKit's names, for other programs and for artists."""

    out: Path
    """The file to write (.glb, .vrm, .usd, .usda, .usdc), or the folder for --format obj-per-shape."""

    format: Format | None = None
    """glb, usd (needs usd-core) or obj-per-shape: one OBJ at rest and one for each shape. By the ending of --out when
    not given."""

    names: Naming = "arkit"
    """Names of the shapes. arkit: eyeBlinkLeft; pascal: EyeBlinkLeft; suffix: eyeBlink_L; vrm: the presets of VRM
    (aa, happy, blinkLeft, lookUp and so on), composed of ARKit's; metahuman: CTRL_expressions_eyeBlinkL and so on, the
    curves of MetaHumans that do what ARKit's shapes do."""

    use_shapes: Path | None = None
    """Shapes that an artist corrected, taken instead of those worked out: a folder as --format obj-per-shape writes it
    (what is in it counts), or a rigged .glb."""

    eyes: Literal["targets", "nodes"] = "targets"
    """How programs turn the eyes of a .glb or .vrm. targets: the shapes of the gaze turn the eyeballs; nodes: each
    eyeball is a node about its middle, for a program to turn, and the shapes of the gaze move the lids alone."""

    sheet: Path | None = None
    """Write a picture of the head in all its shapes to this file."""

    report: Path | None = None
    """Write what was measured on every shape, and what is doubtful, to this JSON file."""

    overwrite: bool = False
    """Replace what is already there; in a folder the files that are written, others stay."""

    def __post_init__(self) -> None:
        AvatarOptions.__post_init__(self)
        if self.format != "obj-per-shape" and self.chosen == "obj-per-shape":
            known = ", ".join(ending for endings in _ENDINGS.values() for ending in endings)
            raise InputError(
                f"--out {self.out}: expected a name that ends in {known}, or --format obj-per-shape for a folder"
            )
        if self.eyes == "nodes" and self.chosen != "glb":
            raise InputError(f"--eyes nodes: expected --out to be a .glb or .vrm, got {self.out}; leave --eyes out")
        if self.format in _ENDINGS and self.out.suffix.lower() not in _ENDINGS[self.format]:
            raise InputError(
                f"--out {self.out}: expected a name that ends in {' or '.join(_ENDINGS[self.format])} for --format "
                f"{self.format}"
            )

    @property
    def chosen(self) -> Format:
        """The format that is written."""
        if self.format is not None:
            return self.format
        ending = self.out.suffix.lower()
        return "glb" if ending in _ENDINGS["glb"] else "usd" if ending in _ENDINGS["usd"] else "obj-per-shape"


def rig(options: Annotated[RigOptions, tyro.conf.arg(name="")]) -> None:
    """Give a head 52 shapes with ARKit's names, for other programs and for artists."""
    from calib.head_file import own_unit_count
    from calib.survey.face_finder import NoFaceError
    from realtime.rig.doubts import measured
    from realtime.rig.given_shapes import check_source, with_given
    from realtime.rig.head_shapes import head_shapes, taking
    from realtime.rig.naming import targets

    path = avatar_path(options)
    _check_places(options, path)
    if options.use_shapes is not None:
        check_source(options.use_shapes)
    if options.chosen == "usd":
        from render.mesh.export.usd import check_usd

        check_usd()
    own = 0 if options.preparation.morphs == "on" else own_unit_count(path)
    if options.preparation.morphs == "auto":
        options = replace(options, preparation=replace(options.preparation, morphs="off"))
        if own:
            log.info("%s: has %d ARKit shapes, which are made anew; --morphs takes its own", path, own)
    try:
        avatar = prepared_avatar(options)
    except NoFaceError as refusal:
        if not own:
            raise
        raise InputError(
            f"{refusal}; or take the {own} ARKit shapes in its file, which need no face: --morphs"
        ) from None
    with step_bar(f"rigging {path.name}") as tell:
        tell("shapes", 0, 1)
        own_eyes = _turns_its_eyes(path) or options.eyes == "nodes"
        shapes = head_shapes(avatar, targets(options.names), own_eyes=own_eyes)
    given: tuple[str, ...] = ()
    if options.use_shapes is not None:
        rigged, given = with_given(shapes.rigged, options.use_shapes)
        shapes = taking(shapes, rigged)
        console.print(f"taken from {options.use_shapes}: {', '.join(given)}")
    _write(options, path, shapes)
    report = measured(shapes)
    _tell(options, report, len(shapes.targets))
    if options.report is not None:
        content = report.to_json() | {"avatar": options.avatar, "names": options.names, "taken": list(given)}
        with writing_to(options.report), whole_file(options.report) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    if options.sheet is not None:
        _save_sheet(options.sheet, shapes, report)


def _check_places(options: RigOptions, avatar: Path) -> None:
    """Raises InputError for whatever cannot be written, before the head is prepared."""
    places = [("--out", options.out), ("--sheet", options.sheet), ("--report", options.report)]
    given = [(option, path) for option, path in places if path is not None]
    for number, (option, path) in enumerate(given):
        for other, there in given[:number]:
            if there.absolute() == path.absolute():
                raise InputError(f"{option} {path}: {other} writes there; name another file")
        folder = option == "--out" and options.chosen == "obj-per-shape"
        check_writable(path / "neutral.obj" if folder else path, option)
        empty = folder and path.is_dir() and not any(path.iterdir())
        check_new(option, path, avatar, overwrite=options.overwrite or empty)
        if folder and path.is_dir() and not empty and not (path / "neutral.obj").is_file():
            raise InputError(f"--out {path}: a folder with other things in it, it is not replaced; name another")
    if options.chosen == "glb" and options.out.suffix.lower() == _VRM and not _is_vrm_file(avatar):
        raise InputError(f"--out {options.out}: the head is no VRM; give .glb")
    if options.sheet is not None:
        from calib.avatar_picture import check_picture

        check_picture(options.sheet, "--sheet", avatar)


def _is_vrm_file(path: Path) -> bool:
    from render.mesh.export.vrm_expressions import is_vrm
    from render.mesh.gltf_buffers import read_gltf_file

    return path.suffix.lower() in _GLTF and is_vrm(read_gltf_file(path).json)


def _turns_its_eyes(path: Path) -> bool:
    """Whether a .vrm turns its eyes by bones of its own."""
    from render.mesh.export.vrm_expressions import eye_bones
    from render.mesh.gltf_buffers import read_gltf_file

    return path.suffix.lower() in _GLTF and eye_bones(read_gltf_file(path).json)


def _write(options: RigOptions, path: Path, shapes: "HeadShapes") -> None:
    from render.mesh.export.obj_shapes import save_obj_shapes

    avatar, rigged = shapes.avatar, shapes.rigged
    with writing_to(options.out):
        options.out.parent.mkdir(parents=True, exist_ok=True)
        if options.chosen == "obj-per-shape":
            save_obj_shapes(rigged, options.out)
            return
        if options.chosen == "usd":
            from render.mesh.export.usd import save_usd

            save_usd(rigged, options.out, path.stem)
            return
        document = _document(options, path, avatar, rigged)
        if options.eyes == "nodes":
            _turn_eyes(document, path, shapes)
        with whole_file(options.out) as temporary:
            temporary.write_bytes(document.to_glb())


def _document(options: RigOptions, path: Path, avatar: "Avatar", rigged: "RiggedMesh") -> "GltfDocument":
    """The file's own with the shapes in it where that can be, a new one else."""
    from importlib.metadata import version

    from realtime.rig.naming import holds_units
    from realtime.rig.rigged_gltf import rigged_document, written_anew
    from render.mesh.export.vrm_expressions import register_expressions
    from render.mesh.gltf_morphs import RIG_MARK

    made_by = f"vfa rig {version('vfa-live')}"
    anew = written_anew(path, avatar, rigged)
    if anew and options.out.suffix.lower() == _VRM:  # known only now that the head is prepared
        raise InputError(
            f"--out {options.out}: the head has too many triangles to be cut open in its own file; what is written "
            "anew is no VRM, give .glb"
        )
    document = rigged_document(path, avatar, rigged, made_by)
    if not anew and (registered := register_expressions(document, rigged.names)):
        console.print(f"{registered} of the shapes are VRM expressions, too")
    if holds_units(options.names):  # others cannot be driven by them: live, such a head moves as any bare mesh does
        asset = document.json["asset"]
        asset["extras"] = {**(asset.get("extras") or {}), RIG_MARK: {"by": made_by, "names": options.names}}
    return document


def _turn_eyes(document: "GltfDocument", path: Path, shapes: "HeadShapes") -> None:
    """Make nodes of the eyeballs, unless the file's own bones turn them, and tell which."""
    from realtime.rig.eye_nodes import eyes_as_nodes

    if _turns_its_eyes(path):
        console.print("its eyes are turned by bones of its own, which stay")
        return
    made = eyes_as_nodes(document, path, shapes)
    console.print(f"nodes that turn the eyes: {', '.join(made) or 'none, they are one piece with the skin'}")


def _tell(options: RigOptions, report: "RigReport", count: int) -> None:
    size = ""
    if options.out.is_file():
        size = f", {options.out.stat().st_size / 1e6:.1f} MB"
    console.print(f"{options.out}: {count} shapes{size}")
    for line in report.head:
        console.print(f"  {line}")
    doubtful = report.doubtful
    console.print(f"doubtful: {len(doubtful)} of {count}" + (", look at" if doubtful else ""))
    for shape in doubtful:
        console.print(f"  {shape.name}: {'; '.join(shape.doubts)}")


def _save_sheet(path: Path, shapes: "HeadShapes", report: "RigReport") -> None:
    from calib.avatar_picture import write_picture
    from realtime.rig.sheet import draw_sheet

    picture = draw_sheet(shapes, frozenset(shape.name for shape in report.doubtful))
    write_picture(path, picture[..., ::-1], f"--sheet {path}")
    console.print(f"sheet: {path}")
