"""The whole app while its camera is unplugged and plugged in again: capture, tracking, engine, viewer, recorder.

`benchmarks.soak --app` runs it; both simulators show a rendered face that talks. What must hold: the avatar is at rest
half a second after the last frame, comes back without a jump, and the recording is whole, its gaps marked.
"""

from __future__ import annotations

import gc
import random
import threading
import time
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.soak_bench import Bench, Growth
from benchmarks.soak_check import FrameTally, seen
from calib.avatar import Avatar, prepare_avatar
from capture.cameras.reconnecting import ReconnectingSource
from capture.face.face_tracker import FaceTracker
from capture.synthetic import builtin_avatar_path
from core.camera import transform_points
from core.frame import FaceObservation
from core.source import frames_of
from engine.motion.protocol import AvatarPose, HeadPose, MotionEngine
from realtime.config import EngineName, MotionOptions
from realtime.engines import make_engine
from realtime.live.pipeline import FramePipeline
from realtime.live.replayed_person import ReplayedPerson
from realtime.live.report import LiveReport
from realtime.live.session import LiveSession
from realtime.recording.recording_folder import ANIMATION_NAME, PREVIEW_NAME, RecordingFolder
from realtime.session.reader import SessionReader
from realtime.session.seen_frame import SeenTracker
from realtime.session.session_source import SessionSource
from realtime.threads.timing import SectionTimes
from realtime.threads.worker import Stop
from render.skin.moving_skin import SkinPose
from render.window.viewer import Viewer

AWAY_S, STREAMING_S = (0.1, 1.6), (0.8, 1.8)
EASED_S = 0.5  # after so long without a frame the avatar is at rest
EASING_S = 0.3  # of which easing itself takes so long, from the first pose without a face
NOTICED_S = 0.4  # an outage so long is bound to show; the app overlooks the first 0.15 s
RESUMING_S = 1.0  # after a gap, steps count as those of resuming
GAP_WITHIN_S = 0.15  # a picture without a face beside the gap
LIMIT_S = 20.0
SIZE = (320, 240)


@dataclass
class Moment:
    """One pose: when it was made, the time of the frame it answers, whether there was a face, and how far it is from
    rest at most (avatar units, the head's motion included)."""

    made_s: float
    timestamp_s: float
    tracked: bool
    from_rest: float


@dataclass
class AppFigures:
    """What one simulator's cycles gave. Lengths are in avatar units, in which a face is about 2 high.

    Attributes:
        reconnect_s: from the device's return to the next pose with a face.
        tally: of the frames that reached the engine.
        left_at_half_second: share of the largest displacement of an outage's start that is left 0.5 s after its last
            frame, for every outage so long.
        left_when_eased: the same when easing should be over by the poses' own time, however late they were made.
        step_resuming, step_performing: largest movement of any vertex from one shown pose to the next, in the second
            after an outage and otherwise.
    """

    tally: FrameTally
    cycles: int = 0
    crashes: int = 0
    shown: int = 0
    poses: int = 0
    reconnect_s: list[float] = field(default_factory=list)
    left_at_half_second: list[float] = field(default_factory=list)
    left_when_eased: list[float] = field(default_factory=list)
    step_resuming: float = 0.0
    step_performing: float = 0.0
    gaps: int = 0
    gaps_marked: int = 0
    growth: Growth = field(default_factory=Growth)
    recording: dict[str, Any] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        figures = asdict(self)
        growth, left, back = figures.pop("growth"), self.left_at_half_second, self.reconnect_s
        del figures["tally"]
        return {
            **figures,
            **self.tally.counts,
            "gaps_unmarked": self.gaps - self.gaps_marked,
            **self.growth.summary(),
            "rss_mb": growth["rss_mb"][:: max(1, len(growth["rss_mb"]) // 20)],
            "reconnect_s": len(back),
            "reconnect_s_p95": round(float(np.percentile(back, 95)), 3) if back else None,
            "reconnect_s_max": round(max(back), 3) if back else None,
            "left_at_half_second": round(max(left), 4) if left else None,
            "left_at_half_second_p50": round(float(np.median(left)), 4) if left else None,
            "left_when_eased": round(max(self.left_when_eased), 4) if self.left_when_eased else None,
            "outages_of_half_a_second": len(left),
            "recording_intact": all(self.recording.get("checks", {}).values()) and bool(self.recording),
        }


class WatchedEngine(MotionEngine):
    """The engine, with a note of every pose it makes."""

    def __init__(self, engine: MotionEngine, avatar: Avatar, tally: FrameTally) -> None:
        self._engine = engine
        self._tally = tally
        self._last_index = -1
        self._rest = np.asarray(avatar.display_mesh.vertices, np.float64)
        self.name, self.keeps_neutral = engine.name, engine.keeps_neutral
        self.moments: list[Moment] = []

    @property
    def head_pose(self) -> HeadPose:
        return self._engine.head_pose

    @head_pose.setter
    def head_pose(self, value: HeadPose) -> None:
        self._engine.head_pose = value

    @property
    def calibrated(self) -> bool:
        return self._engine.calibrated

    @property
    def unit_names(self) -> tuple[str, ...] | None:
        return self._engine.unit_names

    @property
    def unit_weights(self) -> NDArray[np.float64] | None:
        return self._engine.unit_weights

    @property
    def gains(self) -> NDArray[np.float64]:
        return self._engine.gains

    @gains.setter
    def gains(self, gains: NDArray[np.float64]) -> None:
        self._engine.gains = gains

    def calibrate(self, neutral: FaceObservation) -> None:
        self._engine.calibrate(neutral)

    def animate(self, observation: FaceObservation) -> AvatarPose:
        if observation.frame.index != self._last_index:  # and not the last one again, to ease
            self._tally.add(seen(observation.frame))
        self._last_index = observation.frame.index
        pose = self._engine.animate(observation)
        placed = transform_points(pose.T_world_head, pose.vertices.astype(np.float64))
        self.moments.append(Moment(time.monotonic(), pose.timestamp_s, pose.tracked, _farthest(placed, self._rest)))
        return pose


class WatchedViewer(Viewer):
    """The viewer, with a note of how far any vertex went from one shown pose to the next: (when, avatar units)."""

    def __init__(self, avatar: Avatar) -> None:
        self.steps: list[tuple[float, float]] = []
        self._before = np.asarray(avatar.display_mesh.vertices, np.float64)
        super().__init__(avatar.display_mesh, SIZE, headless=True)

    @property
    def takes_poses(self) -> bool:
        """No: the steps are those of vertices."""
        return False

    def show(
        self,
        shape: NDArray[np.float32] | SkinPose,
        T_world_head: NDArray[np.float64],
        driver_rgb: NDArray[np.uint8] | None,
        status: str,
    ) -> None:
        assert isinstance(shape, np.ndarray)
        placed = transform_points(T_world_head, shape.astype(np.float64))
        self.steps.append((time.monotonic(), _farthest(placed, self._before)))
        self._before = placed
        super().show(shape, T_world_head, driver_rgb, status)


def _farthest(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    difference = a - b
    return float(np.sqrt(np.einsum("nd,nd->n", difference, difference).max()))


class App:
    """One session on its own thread's cycles: breaks the device and mends it while the main thread shows."""

    def __init__(self, bench: Bench, cycles: int, seed: int, figures: AppFigures, engine: EngineName) -> None:
        self._bench, self._cycles, self._figures = bench, cycles, figures
        self._rng, self._stop = random.Random(seed), Stop()
        self._engine = engine
        self.watched: WatchedEngine | None = None
        self.steps: list[tuple[float, float]] = []
        self.outages: list[tuple[float, float]] = []  # broken, mended

    def run(self, folder: Path) -> LiveReport:
        """Raises what ended the session, if anything did."""
        avatar = prepare_avatar(builtin_avatar_path("lowpoly"))
        source: ReconnectingSource[Any] = self._bench.source()
        session = LiveSession(source, FaceTracker, self._watched, self._stop)
        driver = threading.Thread(target=self._drive, name="soak")
        session.start()
        try:
            with WatchedViewer(avatar) as viewer:
                self.steps = viewer.steps
                driver.start()
                return session.run(avatar, viewer, RecordingFolder.claim(folder, overwrite=False))
        finally:
            session.shut_down()
            if driver.ident is not None:
                driver.join()

    def _watched(self, avatar: Avatar) -> MotionEngine:
        engine = make_engine(MotionOptions(engine=self._engine), avatar)
        self.watched = WatchedEngine(engine, avatar, self._figures.tally)
        return self.watched

    def _drive(self) -> None:
        try:
            self._wait_for_face(0.0)
            for _ in range(self._cycles):
                self._cycle()
            self._pause(STREAMING_S[1])
        except Exception:
            traceback.print_exc()
            self._figures.crashes += 1
        finally:
            self._stop.request()

    def _cycle(self) -> None:
        self._pause(self._rng.uniform(*STREAMING_S))
        broken_s = self._bench.break_it(self._rng)
        self._pause(self._rng.uniform(*AWAY_S))
        back_s = self._bench.restore()
        self.outages.append((broken_s, back_s))
        self._figures.reconnect_s.append(max(0.0, self._wait_for_face(back_s) - back_s))
        self._figures.cycles += 1
        gc.collect()
        self._figures.growth.sample()

    def _pause(self, seconds: float) -> None:
        time.sleep(seconds)
        if self._stop.requested:
            raise RuntimeError("the session ended by itself")

    def _wait_for_face(self, since_s: float) -> float:
        """When a pose with a face was made that answers a frame taken after `since_s`."""
        ends_s = time.monotonic() + LIMIT_S
        while time.monotonic() < ends_s:
            moments = self.watched.moments[-1:] if self.watched is not None else []
            if moments and moments[0].tracked and moments[0].timestamp_s > since_s:
                return moments[0].made_s
            self._pause(0.005)
        raise RuntimeError(f"no face within {LIMIT_S} s of the device's return")


def soak_app(bench: Bench, cycles: int, folder: Path, seed: int, engine: EngineName = "auto") -> AppFigures:
    """One short session to warm up, then one with all cycles; figures of the second, and what both left behind."""
    run_session(bench, 1, folder / "warm-up", seed, engine)
    gc.collect()
    growth = Growth()
    growth.begin()
    figures = run_session(bench, cycles, folder / "session", seed, engine, growth)
    gc.collect()
    growth.end()
    return figures


def run_session(
    bench: Bench, cycles: int, folder: Path, seed: int, engine: EngineName = "auto", growth: Growth | None = None
) -> AppFigures:
    """One session with its cycles, and what came of it."""
    figures = AppFigures(FrameTally(bench.depth_share), growth=growth or Growth())
    app = App(bench, cycles, seed, figures, engine)
    try:
        figures.report = asdict(app.run(folder))
    except Exception:
        traceback.print_exc()
        figures.crashes += 1
    if app.watched is not None and figures.report:
        _judge_motion(figures, app.watched.moments, app.steps)
        figures.recording = checked_recording(folder, figures.report, app.watched.moments)
        _count_marks(figures, folder, app.outages)
        figures.recording["checks"] |= replayed(folder, app.watched.moments, engine)
    return figures


def _judge_motion(figures: AppFigures, moments: list[Moment], steps: list[tuple[float, float]]) -> None:
    """Fill in easing and steps."""
    figures.poses, figures.shown = len(moments), figures.report["frames"]["shown"]
    resumed = []
    for start, end in _silences(moments):
        last = moments[start]
        resumed.append(moments[end].made_s)
        later = [m for m in moments[start + 1 : end] if m.made_s >= last.made_s + EASED_S]
        if later:
            figures.left_at_half_second.append(later[0].from_rest / max(last.from_rest, 1e-6))
        noticed_s = moments[start + 1].timestamp_s
        eased = [m for m in moments[start + 1 : end] if m.timestamp_s >= noticed_s + EASING_S]
        if eased:
            figures.left_when_eased.append(eased[0].from_rest / max(last.from_rest, 1e-6))
    for shown_s, step in steps[1:]:
        since = shown_s - np.array(resumed)
        if ((since > -0.02) & (since < RESUMING_S)).any():
            figures.step_resuming = max(figures.step_resuming, step)
        else:
            figures.step_performing = max(figures.step_performing, step)


def _count_marks(figures: AppFigures, folder: Path, outages: list[tuple[float, float]]) -> None:
    """How many outages long enough to be noticed show in the recording as untracked poses."""
    with np.load(folder / ANIMATION_NAME, allow_pickle=False) as archive:
        untracked = archive["timestamps_s"][~archive["tracked"]]
    long = [(start, end) for start, end in outages if end - start > NOTICED_S]
    figures.gaps = len(long)
    figures.gaps_marked = sum(bool(((untracked > start) & (untracked < end + NOTICED_S)).any()) for start, end in long)


def _silences(moments: list[Moment]) -> list[tuple[int, int]]:
    """Numbers of the last pose with a face before each stretch without, and of the first one after it."""
    tracked = np.flatnonzero([moment.tracked for moment in moments])
    ends = np.flatnonzero(np.diff(tracked) > 1)
    return [(int(tracked[i]), int(tracked[i + 1])) for i in ends]


def replayed(folder: Path, moments: list[Moment], engine: EngineName) -> dict[str, bool]:
    """Play the session: its gaps are where no frame came, and its poses are those that were recorded."""
    session = SessionReader.open(folder)
    gaps, missing = session.gaps, []
    for start, end in _silences(moments):
        from_s, to_s = moments[start].timestamp_s, moments[end].timestamp_s
        told = any(abs(gap.from_s - from_s) < GAP_WITHIN_S and abs(gap.to_s - to_s) < GAP_WITHIN_S for gap in gaps)
        if to_s - from_s > NOTICED_S and not told:
            missing.append((from_s, to_s))
    avatar = prepare_avatar(builtin_avatar_path("lowpoly"))
    pipeline = FramePipeline(
        SeenTracker(), make_engine(MotionOptions(engine=engine), avatar), SectionTimes(), ReplayedPerson()
    )
    with np.load(folder / ANIMATION_NAME, allow_pickle=False) as archive:
        times_s, vertices = archive["timestamps_s"], archive["vertices"]
    farthest, played_s = 0.0, []
    for frame, kept in zip(frames_of(SessionSource(session, realtime=False)), vertices, strict=False):
        pose = pipeline.answer(frame).pose
        played_s.append(pose.timestamp_s)
        farthest = max(farthest, float(np.abs(avatar.to_file(pose.vertices) - kept).max()))
    print(f"replayed: {len(played_s)} poses, {len(gaps)} gaps, largest difference {farthest:g}", flush=True)
    print(f"silences without a gap: {missing}", flush=True)
    return {
        "gaps are told where the device was away": not missing,
        "played at the same times": played_s == times_s.tolist(),
        "played the same": farthest == 0.0 or engine == "flow",
    }


def checked_recording(folder: Path, report: dict[str, Any], moments: list[Moment]) -> dict[str, Any]:
    """Open what the session recorded and compare it with what it did."""
    import av

    with np.load(folder / ANIMATION_NAME, allow_pickle=False) as archive:
        times, tracked = archive["timestamps_s"], archive["tracked"]
        poses, finite = len(archive["vertices"]), bool(np.isfinite(archive["vertices"]).all())
    with av.open(str(folder / PREVIEW_NAME)) as container:
        film = [float(frame.time) for frame in container.decode(video=0) if frame.time is not None]
    lost = report["recording_lost"]
    made = np.array([moment.tracked for moment in moments])
    checks = {
        "every pose is there": poses + lost.get("poses", 0) == len(moments),
        "poses in order": bool((np.diff(times) > 0).all()),
        "numbers are finite": finite,
        "gaps marked as untracked": lost.get("poses", 0) > 0 or bool((tracked == made).all()),
        "every picture shown with a pose is there": len(film) + lost.get("pictures", 0) >= report["frames"]["shown"],
        "pictures in order": bool((np.diff(film) > 0).all()),
        "as long as the session": bool(abs((film[-1] - film[0]) - (times[-1] - times[0])) < 1.0),
    }
    untracked = int((~tracked).sum())
    return {"poses": poses, "untracked": untracked, "pictures": len(film), "lost": lost, "checks": checks}
