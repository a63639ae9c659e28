"""What is known of one person, kept between sessions: the neutral face, and how strongly each unit is to be shown."""

import json
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_data_dir

from core.errors import InputError
from core.expression_units import SCORE_NAMES, UNIT_COUNT
from core.face_regions import ALL_LANDMARKS, RIGID
from core.frame import FaceObservation
from core.rigid_motion import fit_similarity
from core.untrusted import read_json
from core.whole_file import whole_file

FORMAT_VERSION: Final = 1
GAIN_RANGE: Final = (0.7, 1.6)
MISFIT_LIMIT: Final = 0.014
"""Of the face's height. Median faces of 40 frames against a neutral of the same person came to 0.003 to 0.011, those of
other people to 0.010 to 0.032 (five people, 18 of 20 pairs over the limit)."""
_MAX_BYTES = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}")
_COMPARED = np.array([*(i for _, chain in RIGID for i in chain), 61, 291, 152, 234, 454, 10, 129, 358])
_FRAMES = 40  # looked at before a misfit is told


@dataclass(frozen=True, eq=False)
class PersonalProfile:
    """One person.

    Attributes:
        name: of the person, and of the file.
        landmarks: [478, 3] float64 neutral face in metres, head frame.
        scores: [52] float32 the tracker's coefficients at rest.
        T_camera_head: [4, 4] the pose in which the neutral was seen.
        depth: whether a depth camera measured it.
        gains: [52] float64 by which the person's units are multiplied, in the order of the expression units.
        date: when it was last changed, ISO 8601.
    """

    name: str
    landmarks: NDArray[np.float64]
    scores: NDArray[np.float32]
    T_camera_head: NDArray[np.float64]
    depth: bool
    gains: NDArray[np.float64]
    date: str

    @staticmethod
    def of(name: str, neutral: FaceObservation, gains: NDArray[np.float64] | None = None) -> "PersonalProfile":
        """From an observation that engines were calibrated with."""
        return PersonalProfile(
            name,
            neutral.landmarks_head_m().astype(np.float64),
            neutral.scores.copy(),
            neutral.T_camera_head.copy(),
            neutral.frame.depth_m is not None,
            np.ones(UNIT_COUNT) if gains is None else np.clip(gains, *GAIN_RANGE),
            datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def with_gains(self, gains: NDArray[np.float64]) -> "PersonalProfile":
        """The same person with other gains [52], kept within GAIN_RANGE."""
        date = datetime.now(UTC).isoformat(timespec="seconds")
        return replace(self, gains=np.clip(gains, *GAIN_RANGE), date=date)

    def neutral(self, seen: FaceObservation) -> FaceObservation:
        """The neutral face as if it had been seen just now: where the tracked face `seen` is, turned as it was kept."""
        T = self.T_camera_head.copy()
        T[:3, 3] = seen.T_camera_head[:3, 3]
        landmarks = self.landmarks @ T[:3, :3].T + T[:3, 3]
        return replace(seen, landmarks_m=landmarks.astype(np.float32), T_camera_head=T, scores=self.scores)


def default_profile_dir() -> Path:
    """Folder of the user's data that profiles are kept in."""
    return Path(user_data_dir("vfa-live", appauthor=False)) / "profiles"


def profile_path(name: str, folder: Path | None = None) -> Path:
    """Raises InputError for a name that could not be a file's."""
    if not _NAME.fullmatch(name):
        raise InputError(f"--profile {name!r}: expected up to 64 letters, digits, spaces, dots, dashes or underscores")
    return (folder or default_profile_dir()) / f"{name}.json"


def load_profile(name: str, folder: Path | None = None) -> PersonalProfile | None:
    """None where the person has no profile yet. Raises InputError where there is one that cannot be used."""
    path = profile_path(name, folder)
    if not path.exists():
        return None
    try:
        return _from_content(name, read_json(path, _MAX_BYTES))
    except (InputError, ValueError, TypeError, KeyError) as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise InputError(
            f"{path}: not a usable profile ({reason}); delete it and take a new neutral, or give another --profile"
        ) from None


def save_profile(profile: PersonalProfile, folder: Path | None = None) -> Path:
    """Write it, whole or not at all, and return where. Raises InputError where that cannot be."""
    path = profile_path(profile.name, folder)
    content: dict[str, Any] = {"version": FORMAT_VERSION, "date": profile.date, "depth": profile.depth}
    for field, digits in (("landmarks", 6), ("scores", 4), ("T_camera_head", 9), ("gains", 4)):
        content[field] = np.round(np.asarray(getattr(profile, field), dtype=np.float64), digits).tolist()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as partial:
            partial.write_text(json.dumps(content), encoding="utf-8")
            partial.chmod(0o600)  # a person's face
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error}); leave --profile out, or free that folder") from None
    return path


def _from_content(name: str, content: Any) -> PersonalProfile:
    if not isinstance(content, dict):
        raise ValueError("expected an object")
    if type(content["version"]) is not int or content["version"] != FORMAT_VERSION:
        raise ValueError(f"version {content['version']!r:.40}, expected {FORMAT_VERSION}")
    landmarks = _numbers(content, "landmarks", (ALL_LANDMARKS, 3), 1.0)
    pose = _numbers(content, "T_camera_head", (4, 4), 100.0)
    turn = pose[:3, :3]
    if np.abs(turn @ turn.T - np.eye(3)).max() > 1e-3 or np.linalg.det(turn) < 0 or pose[3].tolist() != [0, 0, 0, 1]:
        raise ValueError("T_camera_head is no rigid pose")
    gains = _numbers(content, "gains", (UNIT_COUNT,), 10.0)
    if gains.min() < GAIN_RANGE[0] - 1e-6 or gains.max() > GAIN_RANGE[1] + 1e-6:
        raise ValueError(f"gains outside {GAIN_RANGE}")
    scores = _numbers(content, "scores", (len(SCORE_NAMES),), 10.0).astype(np.float32)
    depth, date = content["depth"], content["date"]
    if not isinstance(depth, bool) or not isinstance(date, str):
        raise ValueError("expected true or false for depth, and a text for date")
    return PersonalProfile(name, landmarks, scores, pose, depth, gains, date[:40])


def _numbers(content: dict[str, Any], field: str, shape: tuple[int, ...], most: float) -> NDArray[np.float64]:
    array = np.array(content[field])  # as it is: as numbers, texts that hold some would pass
    if array.dtype.kind not in "if":
        raise ValueError(f"{field}: expected numbers of shape {shape}")
    array = array.astype(np.float64)
    if array.shape != shape or not np.isfinite(array).all() or np.abs(array).max() > most:
        raise ValueError(f"{field}: expected finite numbers of shape {shape} up to {most:g}, got shape {array.shape}")
    return array


def misfit(profile: PersonalProfile, landmarks: NDArray[np.float64]) -> float:
    """RMS distance of a face's landmarks [478, 3] from the profile's, size and pose apart, over the face's height."""
    own, other = profile.landmarks[_COMPARED], landmarks[_COMPARED]
    scale, rotation, shift = fit_similarity(own, other)
    off = scale * own @ rotation.T + shift - other
    return float(np.sqrt((off**2).sum(axis=1).mean()) / max(float(np.ptp(landmarks[:, 1])), 1e-9))


class ProfileCheck:
    """Watches the first frames of a session: are these the proportions the profile was made of?"""

    def __init__(self, profile: PersonalProfile) -> None:
        self._profile = profile
        self._seen: list[NDArray[np.float64]] = []

    def offer(self, observation: FaceObservation) -> str | None:
        """A hint for the person, once, if the profile does not fit; None otherwise."""
        if not observation.tracked or len(self._seen) >= _FRAMES:
            return None
        self._seen.append(observation.landmarks_head_m().astype(np.float64))
        if len(self._seen) < _FRAMES:
            return None
        if misfit(self._profile, np.median(self._seen, axis=0)) <= MISFIT_LIMIT:
            return None
        return f"profile {self._profile.name} does not fit this face: press N with a relaxed face, or give another"
