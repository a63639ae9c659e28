"""Writes ground-truth clips to disk: an RGBD folder or a color/depth video pair as every source reads them, and truth.

Beside the pictures lies `truth.npz`:

- `unit_names` [52], `weights` [T, 52], `times_s` [T];
- `T_camera_head` [T, 4, 4] rigid head pose, camera frame (OpenCV), metres;
- `rest_m` [n, 3] float32 the person's neutral vertices, head frame; `displacement` [T, n, 3] int16 in steps of
  `displacement_step_m`, from there to the frame's vertices; `faces` [F, 3] int32;
- `contour_names` [L], `contour_vertices` [L] vertices along lips, lids and brows; `contours_m` [T, L, 3] camera frame
  and `contours_px` [T, L, 2], where they were seen (or would be, if nothing were in front of them);
- `K` [3, 3], `size` [2] width and height.

With flow there is `flow/N.npz` for frame N: `flow` [H, W, 2] float16 pixels to the neutral face in the same head pose
and `mask` [H, W] (see `clip_flow`).
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, Protocol

import av
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image

from capture.recordings.camera_file import CAMERA_FILE
from capture.synthetic.head.paint import BROW_X_M, BROW_Y_M
from capture.synthetic.studio.clip_flow import flow_to_neutral
from capture.synthetic.studio.clip_plan import ClipPlan
from capture.synthetic.studio.clip_studio import ClipFrame, ClipStudio
from capture.synthetic.studio.people import Person
from core.errors import InputError

Layout = Literal["folder", "pair"]
TRUTH_FILE = "truth.npz"
STEP_M = 1e-5
DEPTH_RANGE_M = (0.1, 4.0)  # of videos whose sensor is finer than millimetres
_LARGEST = 65535


def clip_name(plan: ClipPlan) -> str:
    """Folder of a clip: its person and its number."""
    return f"{plan.person.name}-clip{plan.seed:05d}"


def write_clip(
    plan: ClipPlan,
    out: Path,
    studio: ClipStudio,
    *,
    layout: Layout = "folder",
    flow: bool = False,
    overwrite: bool = False,
) -> Path:
    """Shoot the clip into a new folder in `out`, whole or not at all; returns the folder.

    Raises InputError where the folder is there already and must not be replaced, OSError where the disk takes no more.
    """
    folder = out / clip_name(plan)
    if folder.exists() and not overwrite:
        raise InputError(f"{folder}: is there already; name another folder or pass --overwrite")
    partial = out / f"{clip_name(plan)}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        pictures: _Pictures = _PictureFiles(partial, plan) if layout == "folder" else _PictureVideos(partial, plan)
        truth = _Truth(plan)
        for shot in studio.shoot(plan):
            pictures.add(shot)
            truth.add(shot)
            if flow:
                backward, mask = flow_to_neutral(shot)
                (partial / "flow").mkdir(exist_ok=True)
                file = partial / "flow" / f"{shot.number}.npz"
                np.savez_compressed(file, flow=backward.astype(np.float16), mask=mask)
        pictures.close()
        own = plan.intrinsics
        camera: dict[str, float] = {key: getattr(own, key) for key in ("fx", "fy", "cx", "cy", "width", "height")}
        camera["fps"] = plan.fps
        if layout == "pair" and not _in_millimetres(plan):
            camera |= {"depth_near_m": DEPTH_RANGE_M[0], "depth_far_m": DEPTH_RANGE_M[1]}
        (partial / CAMERA_FILE).write_text(json.dumps(camera, indent=1))
        truth.save(partial / TRUTH_FILE)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return folder


def _in_millimetres(plan: ClipPlan) -> bool:
    return plan.sensor == "kinect"


class _Pictures(Protocol):
    def add(self, shot: ClipFrame) -> None: ...

    def close(self) -> None: ...


class _PictureFiles:
    """color/N.jpg and depth/N.png (millimetres, as the sensor gives them) or depth/N.exr (metres)."""

    def __init__(self, folder: Path, plan: ClipPlan) -> None:
        self._color, self._depth = folder / "color", folder / "depth"
        self._millimetres = _in_millimetres(plan)
        self._color.mkdir()
        self._depth.mkdir()

    def add(self, shot: ClipFrame) -> None:
        Image.fromarray(shot.frame.rgb).save(self._color / f"{shot.number}.jpg", quality=95, subsampling=0)
        depth_m = _depth(shot)
        if self._millimetres:
            Image.fromarray(_millimetres(depth_m)).save(self._depth / f"{shot.number}.png", compress_level=3)
            return
        import OpenEXR

        header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
        with OpenEXR.File(header, {"Z": depth_m}) as file:
            try:
                file.write(str(self._depth / f"{shot.number}.exr"))
            except RuntimeError as error:  # the library keeps only the words of what the system said
                said = (number for number in errno.errorcode if os.strerror(number) in str(error))
                number = next(said, errno.EIO)
                raise OSError(number, os.strerror(number)) from error

    def close(self) -> None:
        """Nothing is left open."""


class _PictureVideos:
    """color/NAME.mp4 (H.264, as good as lossless) and depth/NAME.nut (FFV1, 16 bit), as the published data has them."""

    def __init__(self, folder: Path, plan: ClipPlan) -> None:
        width, height = plan.intrinsics.width, plan.intrinsics.height
        if width % 2 or height % 2:
            raise InputError(f"--size {width} {height}: color video needs even numbers; make them even")
        self._millimetres = _in_millimetres(plan)
        name = clip_name(plan)
        for side in ("color", "depth"):
            (folder / side).mkdir()
        rate = Fraction(plan.fps).limit_denominator(1001)
        self._files = [
            _Film(folder / "color" / f"{name}.mp4", "libx264", "yuv420p", (width, height), rate, {"crf": "3"}),
            _Film(folder / "depth" / f"{name}.nut", "ffv1", "gray16le", (width, height), rate, {}),
        ]

    def add(self, shot: ClipFrame) -> None:
        depth_m = _depth(shot)
        values = _millimetres(depth_m) if self._millimetres else _scaled(depth_m)
        self._files[0].add(av.VideoFrame.from_ndarray(shot.frame.rgb, format="rgb24"))
        self._files[1].add(av.VideoFrame.from_ndarray(values, format="gray16le"))

    def close(self) -> None:
        for film in self._files:
            film.close()


class _Film:
    def __init__(
        self, path: Path, codec: str, pixels: str, size: tuple[int, int], rate: Fraction, options: dict[str, str]
    ) -> None:
        self._container = av.open(str(path), "w")
        stream = self._container.add_stream(codec, rate=rate, options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = size
        stream.pix_fmt = pixels
        self._stream = stream

    def add(self, frame: av.VideoFrame) -> None:
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        self._container.mux(self._stream.encode(None))
        self._container.close()


@dataclass(frozen=True, eq=False)
class Contours:
    """Vertices along lips, lids and brows; names such as "lip_contact_upper_03"."""

    names: tuple[str, ...]
    vertices: NDArray[np.int64]


def contours(person: Person) -> Contours:
    """The same on every person: [L] vertices of the finished mesh."""
    data, topology = person.model.data, person.model.topology
    used = np.unique(data.parts["skin"][topology.kept_quads])  # the subdivided skin starts with those it keeps
    number = np.full(len(data.vertices), -1, dtype=np.int64)
    number[used] = np.arange(len(used))
    found: dict[str, int] = {}
    for name, ring in (("lip_contact", 1), ("lip_outer", 5)):
        found |= {f"{name}_{column:02d}": int(number[vertex]) for column, vertex in enumerate(data.lip_rings[ring])}
    for side, rings in data.lid_rings.items():
        found |= {f"lid_{side}_{column:02d}": int(number[vertex]) for column, vertex in enumerate(rings[1])}
    place = person.model.skin_fields.position
    front = np.flatnonzero(place[:, 2] > -0.03)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        for column, (x, y) in enumerate(zip(BROW_X_M, BROW_Y_M, strict=True)):
            nearest = front[np.argmin(np.linalg.norm(place[front, :2] - [sign * x, y], axis=1))]
            found[f"brow_{side}_{column:02d}"] = int(nearest)
    return Contours(tuple(found), np.array(list(found.values())))


class _Truth:
    """Collects what was really there."""

    def __init__(self, plan: ClipPlan) -> None:
        self._plan = plan
        self._rest = plan.person.vertices()
        self._contours = contours(plan.person)
        self._rows: dict[str, list[NDArray[Any]]] = {"displacement": [], "T_camera_head": [], "contours_m": []}

    def add(self, shot: ClipFrame) -> None:
        self._rows["displacement"].append(np.rint((shot.vertices - self._rest) / STEP_M).astype(np.int16))
        self._rows["T_camera_head"].append(shot.T_camera_head)
        self._rows["contours_m"].append(shot.camera_m[self._contours.vertices])

    def save(self, path: Path) -> None:
        plan = self._plan
        rows: dict[str, Any] = {name: np.stack(values) for name, values in self._rows.items()}
        np.savez_compressed(
            path,
            unit_names=np.array(plan.person.unit_names),
            weights=plan.weights,
            times_s=plan.times_s,
            rest_m=self._rest.astype(np.float32),
            faces=np.concatenate(list(plan.person.model.topology.faces.values())),
            displacement_step_m=np.float64(STEP_M),
            contour_names=np.array(self._contours.names),
            contour_vertices=self._contours.vertices,
            contours_px=plan.intrinsics.project(rows["contours_m"]),
            K=plan.intrinsics.matrix(),
            size=np.array([plan.intrinsics.width, plan.intrinsics.height]),
            **rows,
        )


def _depth(shot: ClipFrame) -> NDArray[np.float32]:
    assert shot.frame.depth_m is not None
    return shot.frame.depth_m


def _millimetres(depth_m: NDArray[np.float32]) -> NDArray[np.uint16]:
    return np.asarray(np.rint(depth_m * 1000), dtype=np.uint16)


def _scaled(depth_m: NDArray[np.float32]) -> NDArray[np.uint16]:
    """1 … 65535 over DEPTH_RANGE_M, 0 where there is no reading."""
    near, far = DEPTH_RANGE_M
    values = 1 + (depth_m - near) / (far - near) * (_LARGEST - 1)
    return np.where(depth_m > 0, np.clip(np.rint(values), 1, _LARGEST), 0).astype(np.uint16)
