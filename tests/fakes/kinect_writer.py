"""Writes Azure Kinect recordings with the real recording library, without a camera: needs pyk4a and mkvpropedit.

As a program, in the second environment: kinect_writer.py PICTURES.npz CALIBRATION.json OUT.mkv, where PICTURES holds
rgb [N, 720, 1280, 3] and depth_mm [N, 576, 640].
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pyk4a

_MJPG, _DEPTH16 = 0, 4
_free = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(lambda _buffer, _context: None)


def write_recording(
    path: Path, jpegs: Sequence[np.ndarray], depths_mm: Sequence[np.ndarray], calibration: str, fps: int = 30
) -> None:
    """Captures of 720p JPEG [n] uint8 and unbinned narrow depth [576, 640] uint16, with the calibration attached."""
    config = pyk4a.Config(color_format=pyk4a.ImageFormat.COLOR_MJPG, camera_fps=pyk4a.FPS(2 if fps == 30 else 1))
    record = pyk4a.PyK4ARecord(path, config)
    record.create()
    library = _library()
    kept = []  # the library does not copy what it is handed
    for number, (jpeg, depth) in enumerate(zip(jpegs, depths_mm, strict=True)):
        capture = ctypes.c_void_p()
        _check(library.k4a_capture_create(ctypes.byref(capture)))
        usec = (number + 1) * 1_000_000 // fps
        color_image = _image(library, _MJPG, (1280, 720, 0), np.ascontiguousarray(jpeg), usec, kept)
        depth_image = _image(library, _DEPTH16, (640, 576, 1280), np.ascontiguousarray(depth), usec, kept)
        library.k4a_capture_set_color_image(capture, color_image)
        library.k4a_capture_set_depth_image(capture, depth_image)
        record.write_capture(_Handle(_capsule(capture)))
        for image in (color_image, depth_image):
            library.k4a_image_release(image)
        record.flush()
        library.k4a_capture_release(capture)
    record.close()
    attached = path.with_name("calibration.json")
    attached.write_text(calibration)
    command = ["mkvpropedit", str(path), "--attachment-name", "calibration.json", "--add-attachment", str(attached)]
    subprocess.run(command, check=True, capture_output=True)


class _Handle:
    """What `PyK4ARecord.write_capture` asks of a capture."""

    def __init__(self, capsule: object) -> None:
        self._capture_handle = capsule


def _library() -> ctypes.CDLL:
    folder = Path(pyk4a.__file__).parents[1] / "pyk4a_bundle.libs"
    library = ctypes.CDLL(str(next(folder.glob("libk4a-*.so*"))))
    for name in ("k4a_capture_set_color_image", "k4a_capture_set_depth_image"):
        getattr(library, name).argtypes = [ctypes.c_void_p, ctypes.c_void_p]
        getattr(library, name).restype = None
    for name in ("k4a_image_release", "k4a_capture_release"):
        getattr(library, name).argtypes = [ctypes.c_void_p]
        getattr(library, name).restype = None
    library.k4a_image_set_device_timestamp_usec.argtypes = [ctypes.c_void_p, ctypes.c_uint64]
    library.k4a_image_set_device_timestamp_usec.restype = None
    library.k4a_image_create_from_buffer.argtypes = [
        ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t,
        ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p,
    ]  # fmt: skip
    return library


def _image(
    library: ctypes.CDLL, kind: int, size: tuple[int, int, int], data: np.ndarray, usec: int, kept: list[np.ndarray]
) -> ctypes.c_void_p:
    image = ctypes.c_void_p()
    kept.append(data)
    _check(
        library.k4a_image_create_from_buffer(
            kind, *size, data.ctypes.data, data.nbytes, ctypes.cast(_free, ctypes.c_void_p), None, ctypes.byref(image)
        )
    )
    library.k4a_image_set_device_timestamp_usec(image, usec)
    return image


def _capsule(capture: ctypes.c_void_p) -> object:
    """A capsule as pyk4a makes them: it holds where the handle lies. `capture` must outlive it."""
    make = ctypes.pythonapi.PyCapsule_New
    make.restype, make.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    return make(ctypes.addressof(capture), b"pyk4a capture handle", None)


def _check(result: int) -> None:
    if result != 0:
        raise OSError("the k4a library refused a capture made of our pictures")


def main() -> None:
    pictures = np.load(sys.argv[1])
    jpegs = [
        cv2.imencode(".jpg", np.ascontiguousarray(rgb[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 95])[1].ravel()
        for rgb in pictures["rgb"]
    ]
    write_recording(Path(sys.argv[3]), jpegs, list(pictures["depth_mm"]), Path(sys.argv[2]).read_text())


if __name__ == "__main__":
    main()
