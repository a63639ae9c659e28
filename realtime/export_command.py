"""`vfa export`: what a recording holds, as a file that other programs open."""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import numpy as np
import tyro

from core.errors import InputError
from core.whole_file import whole_file
from core.writable import check_writable, writing_to
from realtime.avatar_choice import avatar_path, check_new, prepared_avatar
from realtime.config import AvatarOptions
from realtime.progress import console, progress_bar
from realtime.view_options import ViewOptions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from calib.avatar import Avatar
    from core.face_motion import MotionTrack
    from realtime.export.posed import PosedAvatar
    from realtime.export.sampling import Frame
    from realtime.export.shaped import ShapedTake
    from realtime.export.take import RecordedVertices, Take

log = logging.getLogger(__name__)

Format = Literal["glb", "usd", "usd-points", "csv", "live-link-csv", "bvh", "pc2", "mdd", "png", "mp4", "webm", "mov"]
Shapes = Literal["auto", "units", "corrected", "fewest"]
Tell = Callable[[str, int, int | None], None]

_BY_ENDING: Final[dict[str, Format]] = {
    ".glb": "glb", ".usd": "usd", ".usda": "usd", ".usdc": "usd", ".csv": "csv", ".bvh": "bvh", ".pc2": "pc2",
    ".mdd": "mdd", ".mp4": "mp4", ".webm": "webm", ".mov": "mov",
}  # fmt: skip
_ENDINGS: Final[dict[Format, tuple[str, ...]]] = {
    "usd": (".usd", ".usda", ".usdc"), "usd-points": (".usd", ".usda", ".usdc"), "live-link-csv": (".csv",),
    "png": ("",),
}  # fmt: skip
_WITHOUT_HEAD: Final = ("csv", "live-link-csv", "bvh")
_AT_OWN_TIMES: Final = ("csv", "glb")
_AS_RECORDED_MM = 2.0
_WORTH_CORRECTING_MM = 1.0
_LOOKED_AT = 12
_RIGHT_EYE, _LEFT_EYE = 468, 473  # middle of each iris


@dataclass(frozen=True, kw_only=True)
class TakeOptions(AvatarOptions):
    """Write a recording as a file that other programs open (docs/exporting.md)."""

    take: tyro.conf.Positional[Path]
    """A folder that --record or vfa animate made, or the animation.npz in it."""

    out: Path
    """The file to write, or the folder for --format png."""

    format: Format | None = None
    """glb, usd: shapes with their weights over time, the head as a moving node or joint; usd-points: a sample of all
    points; csv: a table of units, gaze and head pose; live-link-csv: as the app Live Link Face records; bvh: head and
    eyes; pc2, mdd: point caches; png: pictures with alpha; mp4, webm (with alpha), mov (ProRes 4444 with alpha): the
    avatar alone. By the ending of --out when not given."""

    shapes: Shapes = "auto"
    """Of glb and usd. units: ARKit's 52, which any program can play on; corrected: the same, and as few more as bring
    every vertex within 0.5 mm of live; fewest: as few as repeat what was recorded within 0.1 mm; auto takes units where
    they show what was recorded."""

    fps: float | None = None
    """Frames a second, where a format has a steady rate; that of the recording when not given."""

    overwrite: bool = False
    """Replace what is already there."""

    view: tyro.conf.OmitArgPrefixes[ViewOptions] = field(default_factory=ViewOptions)

    def __post_init__(self) -> None:
        AvatarOptions.__post_init__(self)
        self.view.check()
        if self.fps is not None and not 1 <= self.fps <= 240:
            raise InputError(f"--fps {self.fps:g}: expected 1 to 240")
        chosen, ending = self.chosen, self.out.suffix.lower()
        endings = _ENDINGS.get(chosen, (f".{chosen}",))
        if ending not in endings:
            raise InputError(f"--out {self.out}: expected a name that ends in {' or '.join(endings) or 'nothing'}")

    @property
    def chosen(self) -> Format:
        """The format that is written. Raises InputError where none is told."""
        if self.format is not None:
            return self.format
        if (found := _BY_ENDING.get(self.out.suffix.lower())) is None:
            known = f"expected a name that ends in {', '.join(_BY_ENDING)}, or --format png"
            hint = "; write a .glb, which Blender imports and exports as most others" if self.out.suffix else ""
            raise InputError(f"--out {self.out}: {known}{hint}")
        return found


def export(options: Annotated[TakeOptions, tyro.conf.arg(name="")]) -> None:
    """Write a recording as a file that other programs open."""
    from realtime.export.sampling import nominal_fps, usual
    from realtime.export.take import open_take

    take = open_take(options.take)
    _check_place(options)
    fps = options.fps or nominal_fps(take.times_s)
    if options.fps is None and options.chosen not in _AT_OWN_TIMES and not usual(fps):
        log.info("%s: has about %g frames a second, and so has the export; --fps 30 for another rate", take.name, fps)
    with progress_bar() as tell:
        if options.chosen in _WITHOUT_HEAD:
            told = _table(options, take, fps)
        elif options.chosen in ("pc2", "mdd"):
            told = _point_cache(options, take, fps)
        else:
            avatar = prepared_avatar(options)
            with writing_to(options.out):
                options.out.parent.mkdir(parents=True, exist_ok=True)
                if options.chosen in ("glb", "usd"):
                    told = _shaped(options, take, avatar, fps, tell)
                elif options.chosen == "usd-points":
                    told = _points(options, take, avatar, fps)
                else:
                    told = _pictures(options, take, avatar, fps, tell)
    size = f", {options.out.stat().st_size / 1e6:.1f} MB" if options.out.is_file() else ""
    console.print(f"{options.out}: {told}{size}")


def _check_place(options: TakeOptions) -> None:
    from realtime.export.films import check_encoder, check_pictures_folder

    chosen = options.chosen
    check_new("--out", options.out, avatar_path(options), overwrite=options.overwrite)
    if chosen == "png":
        check_pictures_folder(options.out)
        return
    check_writable(options.out, "--out")
    if chosen in ("mp4", "webm", "mov"):
        check_encoder(chosen)
        if any(side % 2 for side in options.view.size):
            width, height = options.view.size
            raise InputError(f"--size {width} {height}: films have even sides; give even numbers")
    elif chosen.startswith("usd"):
        from render.mesh.export.usd import check_usd

        check_usd()


def _motion(take: "Take", what: str) -> "MotionTrack":
    if take.motion is None:
        raise InputError(
            f"{take.path}: holds no units (it was recorded by an earlier version), which --format {what} needs; drive "
            "the head with it anew: vfa animate --driving CLIP --avatar HEAD --out FOLDER"
        )
    return take.motion


def _steady(take: "Take", what: str, fps: float) -> "MotionTrack":
    from realtime.editing.channels import resampled
    from realtime.export.sampling import steady

    motion = _motion(take, what)
    return resampled(motion, steady(motion.timestamps_s, fps))


def _table(options: TakeOptions, take: "Take", fps: float) -> str:
    from realtime.export.bvh import bvh_text
    from realtime.export.live_link_face import live_link_face_table
    from realtime.export.plain_csv import plain_table

    chosen = options.chosen
    motion = _motion(take, chosen) if chosen == "csv" else _steady(take, chosen, fps)
    if chosen == "csv":
        text = plain_table(motion)
    elif chosen == "live-link-csv":
        text = live_link_face_table(motion, fps)
    else:
        from capture.face.face_model_file import find_face_model
        from core.canonical_face import load_canonical_face

        eyes = load_canonical_face(find_face_model()).points[[_RIGHT_EYE, _LEFT_EYE]]
        text = bvh_text(motion, fps, eyes)
    with writing_to(options.out):
        options.out.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(options.out) as partial:
            partial.write_text(text, "utf-8")
    return f"{len(motion)} frames" + f" at {fps:g} a second" * (chosen != "csv")


def _point_cache(options: TakeOptions, take: "Take", fps: float) -> str:
    from realtime.export.sampling import resampled_frames, steady
    from render.mesh.export.point_caches import save_mdd, save_pc2

    moving, count = _vertices(options, take)
    times = steady(take.times_s, fps)
    frames = (
        (vertices @ T[:3, :3].T + T[:3, 3]).astype(np.float32)
        for vertices, T in resampled_frames(moving, take.times_s, times)
    )
    with writing_to(options.out):
        options.out.parent.mkdir(parents=True, exist_ok=True)
        if options.chosen == "pc2":
            save_pc2(options.out, frames, len(times), count)
        else:
            save_mdd(options.out, frames, times - times[0], count)
    return f"{len(times)} frames at {fps:g} a second of {count} points, in the order of the head's file"


def _vertices(options: TakeOptions, take: "Take") -> "tuple[Iterable[Frame], int]":
    """Every frame's vertices of the head's file and its motion, and how many vertices; of an edited take those that the
    head of --avatar has in the edited motion."""
    if take.recorded is not None:
        return take.recorded, take.recorded.vertex_count
    from realtime.export.posed import PosedAvatar

    avatar = prepared_avatar(options)
    return PosedAvatar(avatar, _motion(take, options.chosen)), len(avatar.file_mesh.vertices)


def _shaped(options: TakeOptions, take: "Take", avatar: "Avatar", fps: float, tell: Tell) -> str:
    shaped = _in_shapes(options, take, avatar, tell)
    path = avatar_path(options)
    if options.chosen == "usd":
        from render.mesh.export.usd import save_usd

        save_usd(shaped.rigged, options.out, path.stem, shaped.animation, fps)
    else:
        from importlib.metadata import version

        from realtime.rig.rigged_gltf import linear_to_scene, rigged_document
        from render.mesh.export.gltf_animation import add_animation

        document = rigged_document(path, avatar, shaped.rigged, f"vfa export {version('vfa-live')}")
        add_animation(document, shaped.animation, take.name, linear_to_scene(path, avatar, shaped.rigged))
        with whole_file(options.out) as partial:
            partial.write_bytes(document.to_glb())
    count, frames = len(shaped.animation.names), len(shaped.animation.times_s)
    kinds = {"units": "ARKit's units", "corrected": "ARKit's units and corrections", "fewest": "the fewest shapes"}
    return f"{frames} frames, {count} shapes ({kinds[shaped.kind]}), {_told_error(shaped)}"


def _told_error(shaped: "ShapedTake") -> str:
    worst = shaped.worst_mm
    if shaped.kind != "units":
        return f"no vertex of any frame more than {worst.max():.2f} mm from what live shows"
    near, far = float(worst.mean()), float(np.percentile(worst, 99))
    told = (
        f"the farthest vertex of a frame {near:.2f} mm from what live shows on average, {far:.2f} mm in 99 of 100 "
        f"frames, {worst.max():.2f} mm in the worst"
    )
    return told + " (--shapes corrected: 0.5 mm at most)" * (float(worst.max()) > _WORTH_CORRECTING_MM)


def _in_shapes(options: TakeOptions, take: "Take", avatar: "Avatar", tell: Tell) -> "ShapedTake":
    from realtime.export.posed import PosedAvatar, check_shows, shows
    from realtime.export.shaped import CORRECTION_MM, fewest, in_units

    correction_mm = CORRECTION_MM if options.shapes == "corrected" else None
    if take.recorded is None:  # edited: there are no vertices to hold it against
        changed = PosedAvatar(avatar, _motion(take, options.chosen))
        if options.shapes == "fewest":
            return fewest(changed, None, avatar, take.times_s, None, tell)
        return in_units(changed, tell, correction_mm=correction_mm)
    if options.shapes in ("units", "corrected"):
        motion = _motion(take, f"{options.chosen} --shapes {options.shapes}")
        return in_units(PosedAvatar(avatar, motion), tell, correction_mm=correction_mm)
    recorded = take.recorded
    posed = None if take.motion is None else PosedAvatar(avatar, take.motion)
    if posed is not None and options.shapes == "auto" and not shows(avatar, recorded):
        return in_units(posed, tell)  # another head than the one that was shown: units carry over
    check_shows(avatar, recorded)
    if posed is not None:
        off_mm = _off_mm(posed, recorded)
        if off_mm > _AS_RECORDED_MM and options.shapes == "auto":
            log.warning("units would be off by %.1f mm from what was recorded: the fewest shapes are taken", off_mm)
        elif off_mm <= _AS_RECORDED_MM and options.shapes == "auto":
            return in_units(posed, tell)
        elif off_mm <= _AS_RECORDED_MM:  # worked out anew: mouths inside, cut lips and eyes have no recorded vertices
            return fewest(posed, None, avatar, take.times_s, None, tell)
    return fewest(None, lambda: iter(recorded), avatar, take.times_s, recorded.T_file_head, tell)


def _off_mm(posed: "PosedAvatar", recorded: "RecordedVertices") -> float:
    """How far the face is in a few poses, at nearly its farthest vertex, from what was recorded; of heads as large as
    people's. The neck, which bends about another origin for an average driver, is left out."""
    from realtime.editing.channels import taken
    from realtime.export.posed import above_chin
    from realtime.rig.head_shapes import UNITS_PER_METRE

    looked_at = np.zeros(len(posed), bool)
    looked_at[np.linspace(0, len(posed) - 1, _LOOKED_AT).astype(int)] = True
    few = replace(posed, motion=taken(posed.motion, looked_at))
    kept = replace(recorded, kept=recorded.kept[looked_at], T_file_head=recorded.T_file_head[looked_at])
    face = above_chin(posed.avatar)
    off = [
        np.percentile(np.linalg.norm(shown[face] - there[face], axis=1), 99)
        for (shown, _), (there, _) in zip(few, kept, strict=True)
    ]
    return float(max(off)) * float(np.cbrt(np.linalg.det(posed.avatar.T_world_file[:3, :3]))) / UNITS_PER_METRE * 1000


def _points(options: TakeOptions, take: "Take", avatar: "Avatar", fps: float) -> str:
    from realtime.export.posed import check_shows
    from realtime.export.shaped import file_as_it_is
    from render.mesh.export.usd_points import save_usd_points

    if take.recorded is not None:
        check_shows(avatar, take.recorded)
    moving, count = _vertices(options, take)
    name = avatar_path(options).stem
    save_usd_points(file_as_it_is(avatar), options.out, name, moving, take.times_s, fps)
    return f"{len(take.times_s)} frames of {count} points"


def _pictures(options: TakeOptions, take: "Take", avatar: "Avatar", fps: float, tell: Tell) -> str:
    from realtime.export.films import has_alpha, save_film, save_pictures
    from realtime.export.posed import PosedAvatar

    chosen = options.chosen
    posed = PosedAvatar(avatar, _steady(take, chosen, fps))
    alpha = chosen == "png" or (chosen in ("webm", "mov") and has_alpha(chosen))
    pictures = _drawn(posed, options.view, alpha, tell)
    if chosen == "png":
        count = save_pictures(options.out, pictures)
    else:
        assert chosen in ("mp4", "webm", "mov"), "all other formats are written elsewhere"
        count = save_film(options.out, chosen, pictures, fps, take.sound)
    return f"{count} pictures at {fps:g} a second"


def _drawn(posed: "PosedAvatar", view: ViewOptions, alpha: bool, tell: Tell) -> "Iterator[NDArray[np.uint8]]":
    from calib.framing import avatar_view
    from core.camera import AVATAR_VIEW
    from render.gl.background import TRANSPARENT
    from render.window.viewer import Viewer

    behind = TRANSPARENT if alpha else view.backdrop()
    with Viewer(
        None, view.size, headless=True, camera=view.camera(), intrinsics=AVATAR_VIEW, background=behind
    ) as viewer:
        viewer.set_mesh(posed.avatar.display_mesh, framing=avatar_view(posed.avatar))
        for number, pose in enumerate(posed.poses()):
            viewer.show(pose.vertices, pose.T_world_head, None, "")
            yield viewer.read_rgba() if alpha else viewer.read_rgb()
            tell("drawing", number + 1, len(posed))
