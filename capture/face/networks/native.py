"""The face landmarker's networks by kernels that are compiled on the user's machine: `native_kernels.c`.

They are made for these networks, whose layers are too small for a library to keep a processor busy with: whole blocks
are computed row by row. The networks are read from the same model file as MediaPipe's; nothing is imported for them.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from capture.face.networks.compiled import COEFFICIENT_POINTS, LANDMARKS_PX, CompiledNetworks, NetworkName, Request
from capture.face.networks.detections import DETECTOR_PX
from capture.face.networks.mixer_program import MixerProgram
from capture.face.networks.native_program import Program
from capture.face.networks.region import Region, steps_of
from capture.face.networks.tflite import Graph, read_graph
from core.errors import InputError
from core.expression_units import SCORE_NAMES
from core.face_regions import ALL_LANDMARKS
from core.native.compiled_library import loaded, pointer
from core.spans import span
from core.untrusted import opened_zip, zip_entry

SOURCE = Path(__file__).with_name("native_kernels.c")
_LARGEST_MEMBER = 16 << 20
_PIXEL_BYTES = 3
_DETECTED = 512 * 16, 384 * 16, 512, 384  # numbers of boxes and scores, of the finer and of the coarser picture


def native_networks(model_path: Path, cache_dir: Path | None = None) -> CompiledNetworks:
    """The networks of a model file, read once in a process.

    Args:
        cache_dir: where the compiled kernels are kept; the user's cache folder by default.

    Raises InputError where there is no compiler, or the networks are of another kind.
    """
    stat = model_path.stat()
    return _networks(model_path, cache_dir, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=2)
def _networks(model_path: Path, cache_dir: Path | None, *_changes: int) -> CompiledNetworks:
    library = loaded(SOURCE, cache_dir, "run_mixer")
    with opened_zip(model_path) as bundle:
        members = {name: zip_entry(bundle, f"{name}.tflite", str(model_path), _LARGEST_MEMBER) for name in MAKERS}
    graphs = {name: read_graph(content, f"{model_path}: {name}") for name, content in members.items()}

    def request(name: NetworkName) -> Request:
        return MAKERS[name](library, graphs[name], f"{model_path}: {name}")

    for name in MAKERS:
        request(name)  # raises for those of another kind
    return CompiledNetworks(request, "native", "native fp32", lambda: NativeSampler(library, LANDMARKS_PX))


class _Steps:
    """A program that is run."""

    def __init__(self, library: ctypes.CDLL, program: Program) -> None:
        self._run, self._program = library.run_steps, program
        self._steps, self._count = program.steps, ctypes.c_int(len(program.steps))
        self.given: NDArray[np.float32] = program.given

    def _infer(self) -> None:
        with span("infer"):
            self._run(self._steps, self._count)


class _Detector(_Steps):
    """The detector, whose answer comes from pictures of two sizes."""

    def __init__(self, library: ctypes.CDLL, graph: Graph, name: str) -> None:
        made = {output: each for each in graph.operations for output in each.outputs}
        joined = [made[output] for output in graph.outputs if output in made]
        if [each.kind for each in joined] != ["CONCATENATION"] * 2:
            raise InputError(f"{name}: expected two joined answers; use --tracker openvino")
        parts = [made[part].inputs[0] for each in joined for part in each.inputs if part in made]
        if len(parts) != len(_DETECTED):
            raise InputError(f"{name}: expected answers of two sizes, got {len(parts)}; use --tracker openvino")
        super().__init__(library, Program(graph, tuple(parts), name))
        _expect(self.given, self._program.found, (DETECTOR_PX, DETECTOR_PX, 3), _DETECTED, name)
        self.found: list[NDArray[np.float32]] = []

    def run(self) -> None:
        self._infer()
        boxes, more_boxes, scores, more_scores = (each.ravel() for each in self._program.found)
        self.found = [np.concatenate([boxes, more_boxes]).reshape(-1, 16), np.concatenate([scores, more_scores])]


class _Landmarks(_Steps):
    def __init__(self, library: ctypes.CDLL, graph: Graph, name: str) -> None:
        super().__init__(library, Program(graph, graph.outputs[:2], name, scale=1 / 255))
        self.found = [each.reshape(-1) for each in self._program.found]
        _expect(self.given, self.found, (LANDMARKS_PX, LANDMARKS_PX, 3), (3 * ALL_LANDMARKS, 1), name)

    def run(self) -> None:
        self._infer()


class _Coefficients:
    def __init__(self, library: ctypes.CDLL, graph: Graph, name: str) -> None:
        self._program = MixerProgram(graph, name)
        self._run, self._mixer = library.run_mixer, ctypes.byref(self._program.mixer)
        self.given: NDArray[np.float32] = self._program.given
        self.found = [self._program.answer]
        _expect(self.given, self.found, (COEFFICIENT_POINTS, 2), (len(SCORE_NAMES),), name)

    def run(self) -> None:
        with span("infer"):
            self._run(self._mixer)


def _expect(
    given: NDArray[np.float32],
    found: list[NDArray[np.float32]],
    seen: tuple[int, ...],
    sizes: tuple[int, ...],
    name: str,
) -> None:
    """Raises InputError where a network sees or answers something else than it is taken for."""
    if given.shape != seen or tuple(each.size for each in found) != sizes:
        raise InputError(
            f"{name}: expected a network that makes {sizes} numbers of {seen}, got {[each.size for each in found]} of "
            f"{given.shape}; take the official model"
        )


MAKERS: dict[NetworkName, Callable[[ctypes.CDLL, Graph, str], Request]] = {
    "face_detector": _Detector,
    "face_landmarks_detector": _Landmarks,
    "face_blendshapes": _Coefficients,
}
"""Makes each network of a model file ready to be run, from its graph and its name for errors. Raises InputError."""


class NativeSampler:
    """`RegionSampler`, bit by bit, without a picture between.

    Args:
        size: of the cuts, in pixels a side.
    """

    def __init__(self, library: ctypes.CDLL, size: int) -> None:
        self._cut, self._size = library.cut_region, size

    def cut(self, rgb: NDArray[np.uint8], region: Region, out: NDArray[np.float32]) -> None:
        """See `RegionSampler.cut`; rows of `out` may lie apart."""
        pixels = rgb if rgb.strides[1:] == (_PIXEL_BYTES, 1) else np.ascontiguousarray(rgb)
        height, width = pixels.shape[:2]
        places = steps_of(region, self._size)
        assert out.strides[1:] == (4 * _PIXEL_BYTES, 4)
        self._cut(
            ctypes.c_void_p(pixels.ctypes.data),
            ctypes.c_int64(pixels.strides[0]),
            ctypes.c_int(width),
            ctypes.c_int(height),
            *(pointer(each) for each in places),
            ctypes.c_int(self._size),
            ctypes.c_void_p(out.ctypes.data),
            ctypes.c_int64(out.strides[0] // 4),
        )
