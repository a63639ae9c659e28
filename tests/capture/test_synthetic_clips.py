"""Ground-truth clips: the same seed gives the same clip, what is said to be true is true, and files keep it."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import tyro

from capture.face.face_tracker import FaceTracker
from capture.open_source import open_source
from capture.synthetic.performer.acting import plausible, random_mix
from capture.synthetic.studio.clip_files import clip_name, contours, write_clip
from capture.synthetic.studio.clip_flow import flow_to_neutral, surface_points
from capture.synthetic.studio.clip_options import ClipOptions
from capture.synthetic.studio.clip_plan import ClipPlan, plan_clip
from capture.synthetic.studio.clip_studio import ClipFrame, ClipStudio
from capture.synthetic.studio.people import Person, random_person
from capture.synthetic.studio.sensor_noise import DepthSensor, SurfaceView
from core.camera import Intrinsics, transform_points
from core.errors import InputError
from core.source import frames_of
from core.writable import writing_to
from realtime.training_commands import SynthOptions, synth
from tests.fakes.small_disk import files_no_larger_than

STILLS = ClipOptions(kind="stills", frames=5, sensor="ideal", size=(192, 192))
SHORT = ClipOptions(split="test", frames=3, sensor="kinect", size=(128, 128))
PERFORMANCE = ClipOptions(frames=120)


@pytest.fixture(scope="module")
def studio() -> ClipStudio:
    return ClipStudio()


@pytest.fixture(scope="module")
def person() -> Person:
    return random_person(11, "train")


@pytest.fixture(scope="module")
def stills(studio: ClipStudio) -> list[ClipFrame]:
    return list(studio.shoot(plan_clip(4, STILLS)))


def test_the_same_seed_gives_the_same_clip(studio: ClipStudio, stills: list[ClipFrame]) -> None:
    again = list(studio.shoot(plan_clip(4, STILLS)))
    for one, other in zip(stills, again, strict=True):
        assert np.array_equal(one.frame.rgb, other.frame.rgb)
        assert np.array_equal(one.frame.depth_m, other.frame.depth_m)
        assert np.array_equal(one.weights, other.weights)


def test_sensor_noise_repeats_and_differs_between_frames(studio: ClipStudio, person: Person) -> None:
    options = ClipOptions(frames=2, sensor="kinect", size=(128, 128))
    plan = plan_clip(2, options, person=person, weights=np.zeros((2, 52)))
    first, second = (list(studio.shoot(plan)) for _ in range(2))
    assert np.array_equal(first[1].frame.depth_m, second[1].frame.depth_m)
    assert not np.array_equal(first[0].frame.depth_m, first[1].frame.depth_m)


def test_nobody_is_in_both_splits() -> None:
    sizes = {
        (split, seed): random_person(seed, split).model.base.tobytes() for split in ("train", "test") for seed in (0, 1)
    }
    assert len(set(sizes.values())) == 4


def test_clips_start_neutral_and_end_still() -> None:
    for kind in ("performance", "stills"):
        plan = plan_clip(5, replace(PERFORMANCE, kind=kind), rest_s=1.0)
        assert not plan.weights[0].any()
        assert not plan.head_deg[0].any()
        assert plan.weights.min() >= 0
        assert plan.weights.max() <= 1
        assert (np.abs(plan.weights).max(axis=0) > 0.2).sum() > 8
    acting = plan_clip(5, PERFORMANCE, rest_s=1.0)
    assert not acting.weights[-29:].any()
    assert np.abs(np.diff(acting.head_deg[-29:], axis=0)).max() < 1e-9
    blinks = acting.weights[:, acting.person.unit_names.index("eyeBlinkLeft")]
    without = np.delete(
        acting.weights, [i for i, n in enumerate(acting.person.unit_names) if n.startswith("eye")], axis=1
    )
    assert blinks.max() > 0.9
    assert np.abs(np.diff(without, axis=0)).max() < 0.35  # smooth at 30 frames a second


def test_mixes_are_plausible(person: Person) -> None:
    rng = np.random.default_rng(0)
    names = person.unit_names
    for _ in range(200):
        mix = random_mix(rng, names)
        assert set(mix) <= set(names)
        weights = plausible(np.array([mix.get(name, 0.0) for name in names]), names)
        value = dict(zip(names, weights.tolist(), strict=True))
        assert value["mouthClose"] <= value["jawOpen"]
        assert min(value["jawLeft"], value["jawRight"]) < 0.45
        assert sum(weight for name, weight in value.items() if name.startswith("mouth")) < 2.8


def test_depth_is_that_of_the_vertices_and_the_pose_is_rigid(stills: list[ClipFrame]) -> None:
    shot = stills[3]
    model, camera = shot.plan.person.model, shot.plan.intrinsics
    front = np.flatnonzero((model.skin_fields.position[:, 1] > -0.05) & (model.skin_fields.position[:, 2] > 0.0))
    own = transform_points(shot.T_camera_head, shot.vertices)[front]
    assert np.abs(own - shot.camera_m[front]).max() < 1e-6
    columns, rows = np.floor(camera.project(own)).astype(int).T
    off = np.abs(shot.depth_true_m[rows, columns] - own[:, 2])
    assert np.median(off) < 0.001  # pixels are a millimetre wide
    assert shot.frame.depth_m is shot.depth_true_m or np.array_equal(shot.frame.depth_m, shot.depth_true_m)
    assert np.abs(surface_points(shot, shot.camera_m)[..., 2] - shot.depth_true_m)[shot.face_id >= 0].max() < 1e-5


def test_flow_leads_to_the_neutral_picture(stills: list[ClipFrame]) -> None:
    flow, mask = flow_to_neutral(stills[0])
    assert mask.mean() > 0.2
    assert np.abs(flow).max() < 1e-3
    shot = max(stills, key=lambda each: np.abs(each.vertices - stills[0].vertices).max())
    flow, mask = flow_to_neutral(shot, "start")
    rows, columns = np.mgrid[0 : mask.shape[0], 0 : mask.shape[1]].astype(np.float32)
    neutral = stills[0].frame.rgb
    warped = cv2.remap(neutral, columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LINEAR)
    moved = mask & (np.linalg.norm(flow, axis=2) > 1)
    assert moved.mean() > 0.02
    before = np.abs(neutral.astype(float) - shot.frame.rgb)[moved].mean()
    after = np.abs(warped.astype(float) - shot.frame.rgb)[moved].mean()
    assert after < 0.75 * before  # what remains is noise, light on turned skin and what the lips had hidden


def test_the_tracker_finds_the_faces(studio: ClipStudio) -> None:
    found = []
    for seed in (21, 22):
        plan = plan_clip(seed, ClipOptions(split="test", frames=8, fps=5))
        with FaceTracker() as tracker:
            found += [tracker.track(shot.frame).tracked for shot in studio.shoot(plan)]
    assert np.mean(found) > 0.98


def test_bent_people_move_in_their_own_way_but_still_close_eyes_and_lips() -> None:
    plain, bent = random_person(3, "train"), random_person(3, "train", bent=True)
    assert np.array_equal(plain.vertices(), bent.vertices())
    weights = np.zeros(52)
    weights[[plain.unit_names.index(f"mouthSmile{side}") for side in ("Left", "Right")]] = 1
    own, other = (each.vertices(weights) - each.vertices() for each in (plain, bent))
    alike = (own * other).sum() / np.linalg.norm(own) / np.linalg.norm(other)
    assert 0.8 < alike < 0.99
    shut = np.zeros(52)
    shut[bent.unit_names.index("eyeBlinkLeft")] = 1
    upper, lower = (bent.model.data.lid_rings["left"][0][column] for column in (7, 20))
    number = (
        np.flatnonzero(np.unique(bent.model.data.parts["skin"]) == upper)[0],
        np.flatnonzero(np.unique(bent.model.data.parts["skin"]) == lower)[0],
    )
    closed = bent.vertices(shut)[list(number), 1]
    assert abs(closed[0] - closed[1]) < 0.001


def flat(depth_m: float, cosine: float = 1.0, reflectivity: float = 0.7) -> SurfaceView:
    shape = (200, 200)
    return SurfaceView(*(np.full(shape, value, np.float32) for value in (depth_m, cosine, reflectivity)))


CAMERA = Intrinsics(500.0, 500.0, 100.0, 100.0, 200, 200)


def random_part(sensor: DepthSensor, view: SurfaceView) -> float:
    """Standard deviation over frames of the readings, metres."""
    frames = np.stack([sensor.measure(view, frame) for frame in range(12)])
    frames[frames == 0] = np.nan
    return float(np.nanmean(np.nanstd(frames, axis=0)))


def test_kinect_noise_grows_with_distance_and_slant_and_comes_in_millimetres() -> None:
    sensor = DepthSensor("kinect", CAMERA, 0)
    near, far = random_part(sensor, flat(0.5)), random_part(sensor, flat(1.0))
    slanted, dark = random_part(sensor, flat(0.5, cosine=0.4)), random_part(sensor, flat(0.5, reflectivity=0.3))
    assert 0.0004 < near < far < 0.0025
    assert slanted > 1.3 * near
    assert dark > 1.2 * near
    readings = sensor.measure(flat(0.5), 0)
    assert np.abs(readings * 1000 - np.round(readings * 1000)).max() < 1e-3
    assert abs(readings[readings > 0].mean() - 0.5) < 0.002


def test_edges_have_flying_pixels_and_holes() -> None:
    view = flat(0.6)
    view.depth_m[:, 100:] = 1.4
    for name in ("kinect", "truedepth"):
        measured = DepthSensor(name, CAMERA, 0).measure(view, 0)  # type: ignore[arg-type]
        edge, inner = measured[:, 97:104], measured[:, 20:80]
        assert (edge == 0).mean() > 0.05
        assert ((edge > 0.65) & (edge < 1.35)).any()
        assert (inner == 0).mean() < 0.01
        assert np.abs(inner[inner > 0] - 0.6).max() < 0.012


def test_steep_surfaces_have_no_readings_and_the_ideal_sensor_is_exact() -> None:
    assert not DepthSensor("kinect", CAMERA, 0).measure(flat(0.6, cosine=0.1), 0).any()
    view = flat(0.6, cosine=0.1)
    assert np.array_equal(DepthSensor("ideal", CAMERA, 0).measure(view, 0), view.depth_m)


def test_truedepth_noise_grows_with_the_square_of_the_distance() -> None:
    sensor = DepthSensor("truedepth", CAMERA, 0)
    near, far = random_part(sensor, flat(0.4)), random_part(sensor, flat(0.8))
    assert 3 < far / near < 5
    assert near < 0.0008


def test_a_sensor_coarser_than_the_picture_is_enlarged_without_making_up_depth() -> None:
    camera = Intrinsics(1500.0, 1500.0, 100.0, 100.0, 200, 200)
    view = flat(0.6)
    view.depth_m[:, 100:] = 0.9
    measured = DepthSensor("truedepth", camera, 1).measure(view, 0)
    assert measured.shape == (200, 200)
    assert np.abs(measured[:, :80] - 0.6).max() < 0.02


@pytest.fixture(scope="module")
def short_plan() -> ClipPlan:
    weights = np.zeros((3, 52))
    weights[1:, 24] = [0.5, 1.0]
    return plan_clip(9, SHORT, weights=weights)


@pytest.mark.parametrize("layout", ["folder", "pair"])
@pytest.mark.parametrize("sensor", ["kinect", "ideal"])
def test_written_clips_are_read_back_with_their_truth(
    layout: str, sensor: str, studio: ClipStudio, tmp_path: Path
) -> None:
    weights = np.zeros((3, 52))
    weights[1:, 24] = [0.5, 1.0]
    plan = plan_clip(9, replace(SHORT, sensor=sensor), weights=weights)
    folder = write_clip(plan, tmp_path, studio, layout=layout, flow=True)  # type: ignore[arg-type]
    shots = list(studio.shoot(plan))
    frames = list(frames_of(open_source(str(folder), realtime=False)))
    assert len(frames) == 3
    for frame, shot in zip(frames, shots, strict=True):
        assert frame.intrinsics == plan.intrinsics
        assert frame.depth_m is not None
        assert shot.frame.depth_m is not None
        assert np.abs(frame.depth_m - shot.frame.depth_m).max() < 6e-5
        assert np.abs(frame.rgb.astype(int) - shot.frame.rgb).mean() < 4
    with np.load(folder / "truth.npz") as truth:
        assert truth["unit_names"][24] == "jawOpen"
        assert np.array_equal(truth["weights"], weights)
        moved = truth["rest_m"] + truth["displacement"][2] * float(truth["displacement_step_m"])
        assert np.abs(moved - shots[2].vertices).max() < 6e-6
        assert np.array_equal(truth["contours_m"][2], shots[2].camera_m[contours(plan.person).vertices])
        assert np.allclose(truth["contours_px"][2], plan.intrinsics.project(truth["contours_m"][2]), atol=1e-4)
        assert np.allclose(truth["T_camera_head"][1], shots[1].T_camera_head)
    with np.load(folder / "flow" / "2.npz") as stored:
        flow, mask = flow_to_neutral(shots[2])
        assert np.array_equal(stored["mask"], mask)
        assert np.abs(stored["flow"] - flow).max() < 0.02


def test_clips_are_written_whole_or_not_at_all(
    short_plan: ClipPlan, studio: ClipStudio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_clip(short_plan, tmp_path, studio)
    assert folder.name == clip_name(short_plan)
    with pytest.raises(InputError, match="--overwrite"):
        write_clip(short_plan, tmp_path, studio)
    before = (folder / "truth.npz").read_bytes()
    monkeypatch.setattr("capture.synthetic.studio.clip_files._Truth.save", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_clip(short_plan, tmp_path, studio, overwrite=True)
    assert (folder / "truth.npz").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [("--clips 0", "--clips 0 --seed 0"), ("--frames 0", "--frames 0"), ("--fps 0", "--fps 0"),
     ("--size 10 256", "--size 10 256"), ("--size 255 255 --layout pair", "--size 255 255"),
     ("--max-turn 99", "--max-turn 99"), ("--exaggeration -1", "--exaggeration -1")],
)  # fmt: skip
def test_options_that_make_no_sense_are_told(wrong: str, named: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        tyro.cli(SynthOptions, args=["--out", "clips", *wrong.split()])
    assert f"{named}: expected" in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_the_command_writes_clips(tmp_path: Path) -> None:
    synth(SynthOptions(out=tmp_path / "clips", clips=2, seed=3, clip=ClipOptions(frames=2, size=(96, 96))))
    assert sorted(path.name for path in (tmp_path / "clips").iterdir()) == ["train-3-clip00003", "train-4-clip00004"]
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(InputError, match="is a file, expected a folder"):
        synth(SynthOptions(out=file))


@pytest.mark.parametrize("layout", ["folder", "pair"])
@pytest.mark.parametrize("sensor", ["kinect", "ideal"])
def test_a_disk_that_takes_no_more_is_an_error_of_the_system(
    layout: str, sensor: str, studio: ClipStudio, tmp_path: Path
) -> None:
    plan = plan_clip(9, replace(SHORT, sensor=sensor))
    with (
        pytest.raises(InputError, match=r"cannot be written \(File too large\)"),
        writing_to(tmp_path),
        files_no_larger_than(500),
    ):
        write_clip(plan, tmp_path, studio, layout=layout)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
