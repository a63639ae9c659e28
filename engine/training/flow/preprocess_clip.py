"""One recording → one preprocessed clip: the face cut out, the background gone, bad frames left out."""

import math
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from capture.face.face_model_file import find_face_model
from capture.face.face_tracker import FaceTracker
from capture.face.preprocess import NETWORK_SIZE, FaceBox, clip_depth, cut_driver, face_box
from capture.open_source import open_source
from core.canonical_face import CanonicalFace, load_canonical_face
from core.errors import InputError
from core.frame import FaceObservation, RgbdFrame
from core.source import frames_of
from engine.training.flow.clip_writer import ClipWriter, clip_paths

LEAST_FRAMES = 8
_LEAST_CONFIDENCE = 0.3
_OUTSIDE = 0.1  # share of landmarks that may leave the cut
_LEAST_DEPTH = 0.5  # share of the face that must have depth, else the face's own surface stands in
_SPEED = 0.25  # of the cut's side that a face may move from frame to frame
_HULL_MARGIN = 0.12  # of the cut's side, around the landmarks: where hair, ears and neck may be
_GRABCUT_ROUNDS = 2

Rgb = NDArray[np.uint8]
Depth = NDArray[np.float32]


@dataclass(frozen=True)
class ClipJob:
    """What is to be made of one recording; plain values, so that it can be sent anywhere.

    Attributes:
        recording: anything `capture.open_source` opens.
        person, name: folder below `out`, and the clip's name in it.
    """

    recording: str
    out: str
    person: str
    name: str
    face_model: str | None = None
    least_frames: int = LEAST_FRAMES

    @property
    def finished(self) -> bool:
        return all(path.is_file() for path in clip_paths(Path(self.out) / self.person, self.name))


@dataclass
class ClipReport:
    """What became of it.

    Attributes:
        frames: written.
        left_out: frames by reason.
        skipped: why there is no clip, or None.
        background: "depth", or "face" where the face's outline cut out the driver.
    """

    recording: str
    clip: str
    frames: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    skipped: str | None = None
    background: str = "depth"


def preprocess_clip(job: ClipJob) -> ClipReport:
    """Never raises for what is wrong with a recording: that is what the report is for."""
    report = ClipReport(job.recording, f"{job.person}/{job.name}")
    cv2.setNumThreads(1)
    try:
        _preprocess(job, report)
    except (InputError, OSError) as error:
        report.skipped = str(error)
    return report


def _preprocess(job: ClipJob, report: ClipReport) -> None:
    model = Path(job.face_model) if job.face_model is not None else None
    source = open_source(str(Path(job.recording)), realtime=False, face_model=model)
    left_out: Counter[str] = Counter()
    cutter = _Cutter(load_canonical_face(find_face_model(model)))
    with FaceTracker(model) as tracker, ClipWriter(Path(job.out) / job.person, job.name, source.fps) as writer:
        for frame in frames_of(source):
            fault, rgb, depth = cutter.cut(tracker.track(frame))
            if fault is not None:
                left_out[fault] += 1
            else:
                writer.append(rgb, depth)
        report.left_out, report.background = dict(left_out), cutter.background
        if writer.frames < job.least_frames:
            why = ", ".join(f"{count} with {reason}" for reason, count in left_out.most_common()) or "it is too short"
            report.skipped = f"only {writer.frames} of at least {job.least_frames} frames are usable: {why}"
            return
        writer.keep()
        report.frames = writer.frames


class _Cutter:
    """Cuts all frames at the place of the first face, as published, and judges them."""

    def __init__(self, face: CanonicalFace) -> None:
        self._face = face
        self._box: FaceBox | None = None
        self._last: NDArray[np.float64] | None = None
        self.background = "depth"

    def cut(self, seen: FaceObservation) -> tuple[str | None, Rgb, NDArray[np.uint16]]:
        """Why the frame is left out (None: it is good), its colour and depth."""
        nothing = np.zeros((NETWORK_SIZE, NETWORK_SIZE, 3), np.uint8), np.zeros((NETWORK_SIZE, NETWORK_SIZE), np.uint16)
        if not seen.tracked:
            return "no face", *nothing
        if seen.confidence < _LEAST_CONFIDENCE:
            return "an unsure face", *nothing
        self._box = self._box or face_box(seen)
        scale = NETWORK_SIZE / np.array([self._box.width, self._box.height])
        place = np.asarray((seen.landmarks_px - np.array([self._box.x, self._box.y])) * scale, np.float64)
        if ((place < 0) | (place > NETWORK_SIZE)).any(axis=1).mean() > _OUTSIDE:
            return "a face outside the cut", *nothing
        middle = place.mean(axis=0)
        jumped = self._last is not None and math.dist(middle, self._last) > _SPEED * NETWORK_SIZE
        self._last = middle
        if jumped:
            return "a jump", *nothing
        rgb, depth_m = self._driver(seen, self._box, place)
        return None, rgb, clip_depth(depth_m)

    def _driver(self, seen: FaceObservation, box: FaceBox, place: NDArray[np.float64]) -> tuple[Rgb, Depth]:
        """By depth; where that fails, by the face's outline, with the depth of the tracked face's surface."""
        hull = face_hull(place)
        if seen.frame.depth_m is not None:
            rgb, depth_m = cut_driver(seen, box)
            if (depth_m[hull] > 0).mean() >= _LEAST_DEPTH:
                return rgb, depth_m
        self.background = "face"
        frame = seen.frame
        bare = RgbdFrame(frame.rgb, None, frame.intrinsics, frame.timestamp_s, frame.index)
        rgb, depth_m = cut_driver(_with_frame(seen, bare), box, face=self._face)
        mask = person_mask(rgb, hull)
        return np.where(mask[..., None], rgb, np.uint8(0)), np.where(mask, depth_m, np.float32(0))


def face_hull(place: NDArray[np.float64]) -> NDArray[np.bool_]:
    """[256, 256] inside the convex hull of landmarks [n, 2]."""
    mask = np.zeros((NETWORK_SIZE, NETWORK_SIZE), np.uint8)
    hull = cv2.convexHull(np.rint(place).astype(np.int32))
    cv2.fillConvexPoly(mask, hull, 1)
    return mask.astype(bool)


def person_mask(rgb: Rgb, face: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """[256, 256] the person around a face, parted from the background by colour (GrabCut, Rother et al. 2004)."""
    small = np.asarray(cv2.resize(rgb, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)
    inside, around = (part[::2, ::2] for part in (face, grown(face, _HULL_MARGIN)))
    labels = np.full(inside.shape, cv2.GC_BGD, np.uint8)
    labels[around] = cv2.GC_PR_BGD
    labels[inside] = cv2.GC_FGD
    if (labels == cv2.GC_BGD).any() and inside.any():
        cv2.setRNGSeed(0)
        behind, before = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.grabCut(small, labels, (0, 0, 0, 0), behind, before, _GRABCUT_ROUNDS, cv2.GC_INIT_WITH_MASK)
    person = ((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)).astype(np.uint8)
    large = cv2.resize(person, (NETWORK_SIZE, NETWORK_SIZE), interpolation=cv2.INTER_NEAREST)
    return np.asarray(large.astype(bool) | face)


def grown(mask: NDArray[np.bool_], share: float) -> NDArray[np.bool_]:
    """The mask, larger by a share of its picture's side all around."""
    size = 2 * round(share * len(mask)) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return np.asarray(cv2.dilate(mask.astype(np.uint8), kernel)).astype(bool)


def _with_frame(seen: FaceObservation, frame: RgbdFrame) -> FaceObservation:
    return FaceObservation(
        frame, seen.tracked, seen.confidence, seen.landmarks_px, seen.landmarks_m, seen.T_camera_head, seen.scores
    )
