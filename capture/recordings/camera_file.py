"""The camera of a recording: from its `camera.json`, or assumed where nothing is known."""

from dataclasses import dataclass
from pathlib import Path

from capture.recordings.record3d_export import FOLDER_FILE, folder_camera
from core.camera import Intrinsics, assumed_intrinsics
from core.errors import InputError
from core.picture_limits import FASTEST_FPS, SLOWEST_FPS, number, stated_intrinsics
from core.source import SourceError
from core.untrusted import read_json

CAMERA_FILE = "camera.json"
_KEYS = ("fx", "fy", "cx", "cy", "width", "height")
_LARGEST_FILE = 1 << 20
_SAME_SHAPE = 0.02  # two sizes show the same view when their aspect ratios agree to this share


@dataclass(frozen=True)
class CameraFile:
    """What a `camera.json` says: {fx, fy, cx, cy, width, height} in pixels of the colour picture; optionally `fps`, and
    `depth_near_m` and `depth_far_m`, the distances a scaled depth video's values 1 and 65535 stand for.
    """

    path: Path
    intrinsics: Intrinsics
    fps: float | None
    depth_range_m: tuple[float, float] | None

    def for_picture(self, width: int, height: int) -> Intrinsics:
        """The camera of a picture of this size. Raises SourceError where its shape contradicts the file's."""
        if not same_shape((self.intrinsics.width, self.intrinsics.height), (width, height)):
            raise SourceError(
                f"{self.path}: describes pictures of {self.intrinsics.width}x{self.intrinsics.height}, the recording's "
                f"are {width}x{height}; correct the file or remove it"
            )
        return self.intrinsics.resized(width, height)


def read_camera_file(folder: Path) -> CameraFile | None:
    """The `camera.json` in `folder`, or else Record3D's `metadata.json`, or None where there is neither.

    Raises SourceError where it is not usable.
    """
    path = folder / CAMERA_FILE
    if not path.is_file():
        return _record3d_export(folder)
    try:
        content = read_json(path, _LARGEST_FILE)
        if not isinstance(content, dict):
            raise ValueError(f"a {type(content).__name__}")
        intrinsics = stated_intrinsics(*(number(content, key) for key in _KEYS))
        return CameraFile(path, intrinsics, _fps(content), _depth_range(content))
    except InputError as error:
        raise SourceError(f"{error}; correct the file or remove it") from None
    except KeyError as error:
        raise SourceError(f"{path}: expected the keys {', '.join(_KEYS)}, {error} is missing") from None
    except ValueError as error:
        raise SourceError(
            f"{path}: expected camera intrinsics in pixels as JSON numbers, got {error}; correct the file or remove it"
        ) from None


def _record3d_export(folder: Path) -> CameraFile | None:
    path = folder / FOLDER_FILE
    try:
        camera = folder_camera(folder)
    except InputError as error:
        raise SourceError(f"{error}; correct the file, or give a {CAMERA_FILE}") from None
    except (ValueError, LookupError, TypeError, ArithmeticError) as error:
        raise SourceError(
            f"{path}: expected what Record3D writes with an export (K, w, h), got {type(error).__name__}: {error}; "
            f"correct it, or give a {CAMERA_FILE}"
        ) from None
    return CameraFile(path, camera.intrinsics, camera.fps, None) if camera is not None else None


def recording_intrinsics(camera: CameraFile | None, width: int, height: int, fov_deg: float | None) -> Intrinsics:
    """From `camera` if there is one, otherwise assumed."""
    return camera.for_picture(width, height) if camera is not None else assumed_intrinsics(width, height, fov_deg)


def same_shape(first: tuple[int, int], second: tuple[int, int]) -> bool:
    """Whether two (width, height) are the same view at different resolutions."""
    ratio = first[0] * second[1] / (first[1] * second[0])
    return abs(ratio - 1) <= _SAME_SHAPE


def _fps(content: dict[str, object]) -> float | None:
    if "fps" not in content:
        return None
    fps = number(content, "fps")
    if not SLOWEST_FPS <= fps <= FASTEST_FPS:
        raise ValueError(f"fps={fps:g}, outside {SLOWEST_FPS:g} to {FASTEST_FPS:g}")
    return fps


def _depth_range(content: dict[str, object]) -> tuple[float, float] | None:
    if "depth_near_m" not in content or "depth_far_m" not in content:
        return None
    near_m, far_m = number(content, "depth_near_m"), number(content, "depth_far_m")
    if not 0.001 < near_m < far_m <= 100:
        raise ValueError(f"depth_near_m={near_m:g}, depth_far_m={far_m:g}; expected 0.001 < near < far <= 100")
    return near_m, far_m
