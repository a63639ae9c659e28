"""Which frame of a recording a run is relative to: the driver's neutral face, the published tool's start frame."""

import logging
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError

from calib.avatar import Avatar
from calib.person.neutral import NeutralEstimate
from capture.recordings.playback import Excerpt, PastEndError
from core.camera import transform_points
from core.errors import InputError
from core.frame import FaceObservation, RgbdFrame
from core.source import AnyFrame, Source, frames_of
from realtime.live.pipeline import Tracker

NEUTRAL_CANDIDATES = 300  # frames looked at for a neutral one, spread over the clip
_SETTLING = 10  # frames before the one that is wanted, so that the tracker has settled

Progress = Callable[[str, int, int | None], None]
"""Told how far a run is: what it does, frames done, frames in all (None when unknown)."""

Clip = Callable[[Excerpt], Source[AnyFrame]]
"""Opens so much of the recording that drives."""

log = logging.getLogger(__name__)


def find_neutral(
    clip: Clip,
    make_tracker: Callable[[], Tracker],
    neutral_frame: str,
    progress: Progress,
    excerpt: Excerpt | None = None,
    avatar: Avatar | None = None,
) -> FaceObservation:
    """The observation to calibrate with.

    Args:
        neutral_frame: "auto" estimates a neutral face out of a sample of the excerpt; "best" takes the frame whose
            landmarks look most like the avatar's, as published; N takes frame N of the recording.
        excerpt: where "auto" and "best" look; the whole recording where None.
        avatar: for "best".

    Raises InputError when there is no such frame or no face in what was looked at.
    """
    if neutral_frame not in ("auto", "best"):
        return _observe_frame(clip, make_tracker, int(neutral_frame))
    source = clip(excerpt or Excerpt())
    if neutral_frame == "best":
        assert avatar is not None, "the frame is to be like an avatar"
        return _most_alike(source, make_tracker, avatar, progress)
    estimate = NeutralEstimate()
    for observation in _sample(source, make_tracker, "looking for a neutral face", progress):
        estimate.offer(observation)
    neutral = estimate.neutral()
    if neutral is None:
        raise _faceless(source)
    frame = f"frame {neutral.frame.index} ({neutral.timestamp_s:.1f} s)"
    if reason := estimate.poor_because.replace("your ", "the driver's "):
        log.warning(
            "%s: shows no neutral face (%s); %s was taken, --neutral-frame N names another", source.name, reason, frame
        )
    else:
        log.info("neutral face: %s", frame)
    return neutral


def _sample(
    source: Source[AnyFrame], make_tracker: Callable[[], Tracker], doing: str, progress: Progress
) -> Iterator[FaceObservation]:
    """Frames spread over a source, tracked."""
    step = max(1, (source.frame_count or 0) // NEUTRAL_CANDIDATES)
    with make_tracker() as tracker:
        for number, frame in enumerate(frames_of(source)):
            if number % step == 0:
                yield _seen(tracker, frame)
            progress(doing, number + 1, source.frame_count)


def _seen(tracker: Tracker, frame: AnyFrame) -> FaceObservation:
    if not isinstance(frame, RgbdFrame):
        raise InputError(
            "--neutral-frame: there is motion alone, against the rest of its time: a phone drove, or the session has "
            "edits, which  vfa session edit DIR clear  takes back; leave it out"
        )
    return tracker.track(frame)


def _faceless(source: Source[AnyFrame]) -> InputError:
    return InputError(f"{source.name}: expected a face, found none in any frame looked at; check that it shows one")


def _most_alike(
    source: Source[AnyFrame], make_tracker: Callable[[], Tracker], avatar: Avatar, progress: Progress
) -> FaceObservation:
    """The frame whose landmarks, laid onto the avatar's and brought to their size, are nearest to them (published)."""
    seen = transform_points(avatar.T_camera_world, avatar.landmarks.astype(np.float64))
    wanted = normalised(avatar.intrinsics.project(seen))
    best, least = None, np.inf
    for observation in _sample(source, make_tracker, "looking for the frame most like the avatar", progress):
        if observation.tracked:
            away = float(np.square(normalised(observation.landmarks_px.astype(np.float64)) - wanted).sum())
            if away < least:
                best, least = observation, away
    if best is None:
        raise _faceless(source)
    log.info("start frame: %d, the one most like the avatar", best.frame.index)
    return best


def normalised(landmarks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Landmarks [N, 2] about their mean, such that their convex hull has an area of 1: as the published tool compares
    faces, and Siarohin et al. before it ("First order motion model for image animation", NeurIPS 2019). Head turns are
    part of what is compared. Landmarks that lie on one line are returned about their mean only."""
    centred: NDArray[np.float64] = landmarks - landmarks.mean(axis=0)
    try:
        return centred / float(np.sqrt(ConvexHull(centred).volume))
    except QhullError:
        return centred


def _observe_frame(clip: Clip, make_tracker: Callable[[], Tracker], index: int) -> FaceObservation:
    """Frame `index`, tracked after the few frames before it."""
    first = max(0, index - _SETTLING + 1)
    source = clip(Excerpt(first, index - first + 1))
    observation: FaceObservation | None = None
    try:
        with make_tracker() as tracker:
            for frame in frames_of(source):
                observation = _seen(tracker, frame)
    except PastEndError:
        observation = None
    if observation is None or observation.frame.index != index:
        raise InputError(f"{source.name}: --neutral-frame {index} is past its end; give a smaller number or auto")
    if not observation.tracked:
        raise InputError(f"{source.name}: no face was found in --neutral-frame {index}; give another frame or auto")
    return observation
