"""The compiled networks against MediaPipe, the reference: in single pictures, in streams, in what upsets trackers."""

import subprocess
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from capture.face.face_model_file import find_face_model
from capture.face.networks import native, openvino, proof, select
from capture.face.networks.answers import FaceNetworks, NetworkAnswer
from capture.face.networks.compiled import CompiledNetworks
from capture.face.networks.mediapipe import MediaPipeNetworks
from capture.face.networks.mixer_program import MixerProgram
from capture.face.networks.native import native_networks
from capture.face.networks.native_program import Program
from capture.face.networks.openvino import compiled_networks
from capture.face.networks.proof import MOST_COEFFICIENT, MOST_PX, Proof, reference
from capture.face.networks.region import Region, RegionSampler, around_landmarks, placed
from capture.face.networks.select import COMPILED, face_networks
from capture.face.networks.tflite import read_graph
from capture.open_source import open_source
from capture.recordings.video_file import decode_video
from core.errors import InputError
from core.native.compiled_library import NativeError
from core.source import frames_of
from core.untrusted import opened_zip, zip_entry

Picture = NDArray[np.uint8]
CLIPS = ("head_turns", "expressive_woman", "glasses_beard", "vfa_demo_driving_color")
STEP_MS = 33
CHAOTIC_PX, CHAOTIC_COEFFICIENT = 1.5, 0.1
"""How far two streams may be apart. MediaPipe's own is up to 0.75 px and 0.03 from itself where one bit of the first
picture is another (`benchmarks.tracking`): what is looked at next depends on what was found, and places are rounded."""


@pytest.fixture(scope="module")
def model() -> Path:
    return find_face_model(url=None)


@pytest.fixture(scope="module", params=("native", "openvino"))
def both(model: Path, request: pytest.FixtureRequest) -> tuple[FaceNetworks, FaceNetworks]:
    return MediaPipeNetworks(model), COMPILED[request.param](model)


@pytest.fixture(scope="module")
def performance() -> list[Picture]:
    """Every third picture of the built-in performer's first ten seconds."""
    frames = islice(frames_of(open_source("demo", realtime=False)), 0, 300, 3)
    return [frame.rgb for frame in frames]


@pytest.fixture(scope="module", params=("performer", *CLIPS))
def pictures(request: pytest.FixtureRequest, performance: list[Picture]) -> list[Picture]:
    """Of the made-up twin, and of every real clip where they are at hand."""
    if request.param == "performer":
        return performance
    folder: Path = request.getfixturevalue("shared_data")
    return [picture.rgb() for picture in islice(decode_video(folder / "video" / f"{request.param}.mp4"), 0, 400, 4)]


def apart(one: NetworkAnswer | None, other: NetworkAnswer | None, picture: Picture) -> tuple[float, float]:
    """The greatest differences: of a landmark in pixels, and of a coefficient; 0 where neither found a face."""
    assert (one is None) == (other is None), f"only one of the two finds a face in a picture {picture.shape}"
    if one is None or other is None:
        return 0.0, 0.0
    px = np.abs(one.points - other.points)[:, :2] * picture.shape[1::-1]
    coefficients = np.abs(one.scores - other.scores)
    return float(px.max()), float(coefficients.max(initial=0.0))


def test_single_pictures_give_mediapipes_answer(
    both: tuple[FaceNetworks, FaceNetworks], pictures: list[Picture]
) -> None:
    """Detection, region, landmarks, coefficients: by far nearer than is asked."""
    theirs, ours = (networks.landmarks(video=False, scores=True) for networks in both)
    with theirs, ours:
        differences = np.array([apart(theirs.run(picture), ours.run(picture), picture) for picture in pictures])
    assert MOST_PX >= 5 * 0.06
    assert differences[:, 0].max() < 0.06
    assert differences[:, 1].max() < MOST_COEFFICIENT / 5


def test_a_followed_and_smoothed_face_is_mediapipes(
    both: tuple[FaceNetworks, FaceNetworks], pictures: list[Picture]
) -> None:
    """Streams of four pictures: following and smoothing count in three of them, and nothing has had time to grow."""
    theirs, ours = (networks.landmarks(video=True, scores=True) for networks in both)
    clock_ms = 0
    with theirs, ours:
        for start in range(0, len(pictures) - 4, 20):
            clock_ms += STEP_MS
            theirs.forget(clock_ms)
            ours.forget(clock_ms)
            for picture in pictures[start : start + 4]:
                clock_ms += STEP_MS
                px, coefficient = apart(theirs.run(picture, clock_ms), ours.run(picture, clock_ms), picture)
                assert px < MOST_PX
                assert coefficient < MOST_COEFFICIENT


def test_a_long_stream_decides_the_same_and_does_not_drift(
    both: tuple[FaceNetworks, FaceNetworks], pictures: list[Picture]
) -> None:
    theirs, ours = (networks.landmarks(video=True, scores=True) for networks in both)
    with theirs, ours:
        differences = np.array(
            [
                apart(theirs.run(picture, time_ms), ours.run(picture, time_ms), picture)
                for time_ms, picture in zip(range(STEP_MS, 10**6, STEP_MS), pictures, strict=False)
            ]
        )
    typical = np.median(differences, axis=0)
    assert typical[0] < MOST_PX
    assert typical[1] < MOST_COEFFICIENT
    assert differences[:, 0].max() < CHAOTIC_PX
    assert differences[:, 1].max() < CHAOTIC_COEFFICIENT


def test_faces_that_leave_and_come_back_are_lost_and_found_in_the_same_pictures(
    both: tuple[FaceNetworks, FaceNetworks], performance: list[Picture]
) -> None:
    black = np.zeros_like(performance[0])
    shown = [*performance[:5], black, black, *performance[5:8], black, *performance[40:45]]
    shown += [
        np.roll(performance[50], shift, axis=1) for shift in range(0, 400, 40)
    ]  # out of the picture, and in again
    found = []
    theirs, ours = (networks.landmarks(video=True, scores=True) for networks in both)
    with theirs, ours:
        for time_ms, picture in zip(range(STEP_MS, 10**6, STEP_MS), shown, strict=False):
            expected, answer = theirs.run(picture, time_ms), ours.run(picture, time_ms)
            assert apart(expected, answer, picture)[0] < CHAOTIC_PX
            found.append(answer is not None)
    assert not any(found[5:7])
    assert not found[10]
    assert all(found[:5] + found[7:10] + found[11:16])


@pytest.mark.parametrize("turn_deg", [-80, -30, 15, 50, 120])
def test_tilted_faces(both: tuple[FaceNetworks, FaceNetworks], performance: list[Picture], turn_deg: float) -> None:
    def tilted(picture: Picture) -> Picture:
        height, width = picture.shape[:2]
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), turn_deg, 1.0)
        return np.asarray(cv2.warpAffine(picture, turn, (width, height)), np.uint8)

    theirs, ours = (networks.landmarks(video=False, scores=True) for networks in both)
    with theirs, ours:
        for picture in map(tilted, performance[::20]):
            assert apart(theirs.run(picture), ours.run(picture), picture)[0] < MOST_PX


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (90, 3), (37, 91), (64, 64), (333, 481), (481, 270), (720, 1281)])
def test_pictures_of_any_size(
    both: tuple[FaceNetworks, FaceNetworks], performance: list[Picture], shape: tuple[int, int]
) -> None:
    """One after the other in one stream, as a source may change its size (then the face is searched); faces, noise and
    black."""
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (*shape, 3), dtype=np.uint8)
    small = np.asarray(cv2.resize(performance[0], shape[::-1], interpolation=cv2.INTER_AREA), np.uint8)
    theirs, ours = (networks.landmarks(video=True, scores=False) for networks in both)
    shown = [performance[0], small, small, np.zeros_like(noise), noise, performance[1]]
    clock_ms, last = 0, performance[0].shape
    with theirs, ours:
        for picture in shown:
            if picture.shape != last:
                clock_ms, last = clock_ms + STEP_MS, picture.shape
                theirs.forget(clock_ms)
                ours.forget(clock_ms)
            clock_ms += STEP_MS
            assert apart(theirs.run(picture, clock_ms), ours.run(picture, clock_ms), picture)[0] < MOST_PX


def test_detections_are_mediapipes(both: tuple[FaceNetworks, FaceNetworks], performance: list[Picture]) -> None:
    """Several faces, cut ones, none; boxes in whole pixels."""
    one, other = performance[0], performance[60]
    shown = [one, np.concatenate([one, other], axis=1), one[:, 200:], one[150:], np.zeros_like(one), one[::2, ::2]]
    shown.append(np.concatenate([np.concatenate([one, other], axis=1)] * 2))
    theirs, ours = (networks.detector() for networks in both)
    counts = []
    with theirs, ours:
        for picture in shown:
            expected, found = theirs.run(np.ascontiguousarray(picture)), ours.run(picture)
            counts.append(len(found))
            assert len(expected) == len(found)
            for their, our in zip(expected, found, strict=True):
                np.testing.assert_allclose(their.box, our.box, atol=1)
                assert their.score == pytest.approx(our.score, abs=1e-3)
    assert counts[0] == 1
    assert counts[1] == 2
    assert counts[4] == 0


def test_least_confidence_is_minded(both: tuple[FaceNetworks, FaceNetworks], performance: list[Picture]) -> None:
    for networks in both:
        with networks.detector(least_confidence=0.999) as sure, networks.detector(least_confidence=0.1) as unsure:
            assert sure.run(performance[0]) == []
            assert unsure.run(performance[0])


# --- what is between the networks -------------------------------------------------------------------------------------


def test_a_region_is_cut_out_and_points_in_it_are_put_back() -> None:
    """A white square on black, rotated: its corners come back to where they were."""
    picture = np.zeros((200, 300, 3), np.uint8)
    cv2.circle(picture, (210, 90), 6, (255, 255, 255), -1)
    region = Region(180.0, 100.0, 120.0, 120.0, 0.5)
    out = np.empty((256, 256, 3), np.float32)
    RegionSampler(256).cut(picture, region, out)
    rows, columns = np.nonzero(out[..., 0] > 127)
    middle = np.array([[columns.mean() / 256], [rows.mean() / 256], [0.1]])
    np.testing.assert_allclose(placed(middle, region)[:, 0], (210, 90, 12), atol=0.3)


def test_the_compiled_cut_is_the_same_bit_by_bit(model: Path) -> None:
    """Within pictures, over their edges and far beside them, of parts of pictures, turned; nothing else is touched."""
    random, sampler, reference_ = np.random.default_rng(0), native_networks(model).sampler(), RegionSampler(256)
    expected, around = np.empty((256, 256, 3), np.float32), np.full((259, 259, 3), -1, np.float32)
    for number in range(60):
        height, width = random.integers(1, 500, 2)
        picture = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        part = picture[: height // 2 + 1, width // 3 :] if number % 2 else picture
        middle = random.random(2) * (width, height) * 1.5 - (width / 4, height / 4)
        sides = random.random(2) * 600 + 5
        region = Region(middle[0], middle[1], sides[0], sides[1], random.normal())
        reference_.cut(part, region, expected)
        sampler.cut(part, region, around[1:-2, 1:-2])
        np.testing.assert_array_equal(around[1:-2, 1:-2], expected)
    around[1:-2, 1:-2] = -1
    assert (around == -1).all()


def test_the_next_region_is_a_square_around_the_face_turned_with_the_eyes() -> None:
    points = np.zeros((3, 478))
    points[:2, 33], points[:2, 263] = (100, 100), (160, 160)
    points[:2, 10], points[:2, 152] = (90, 60), (130, 220)
    region = around_landmarks(np.where(points == 0, 120.0, points))
    assert (region.width, region.height) == (240.0, 240.0)
    assert (region.x, region.y) == (125.0, 140.0)
    assert region.rotation == pytest.approx(np.pi / 4)


def test_depthwise_biases_go_into_the_next_convolution(model: Path, tmp_path: Path) -> None:
    from core.networks.openvino import library

    with opened_zip(model) as bundle:
        (tmp_path / "network.tflite").write_bytes(
            zip_entry(bundle, "face_landmarks_detector.tflite", str(model), 16 << 20)
        )
    network = library().Core().read_model(tmp_path / "network.tflite")
    assert openvino.fold_depthwise_biases(network) == 34
    assert openvino.fold_depthwise_biases(network) == 0


# --- who runs them ----------------------------------------------------------------------------------------------------


def test_the_compiled_ones_are_taken_and_say_how_they_proved_themselves(model: Path) -> None:
    networks = face_networks(model)
    assert networks.name == "native"
    assert "of MediaPipe's landmarks" in networks.why
    for name in ("openvino", "mediapipe"):
        assert face_networks(model, name).name == name


def test_without_a_compiler_openvino_takes_over_and_without_that_mediapipe_and_it_is_said(
    model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing(*_: object) -> None:
        raise ImportError("no such library")

    def refused(*_: object) -> None:
        raise NativeError("no C compiler found")

    native._networks.cache_clear()
    monkeypatch.setattr(native, "loaded", refused)
    networks = face_networks(model)
    assert networks.name == "openvino"
    assert "no C compiler found" in networks.why
    with pytest.raises(InputError, match="no C compiler"):
        face_networks(model, "native")
    openvino._compiled.cache_clear()
    monkeypatch.setattr(openvino, "library", missing)
    networks = face_networks(model)
    assert networks.name == "mediapipe"
    assert "no such library" in networks.why
    assert "no such library" in caplog.text
    with pytest.raises(InputError, match="use --tracker mediapipe"):
        face_networks(model, "openvino")


@pytest.mark.parametrize("wrong", [Proof(0.31, 0.0), Proof(0.0, 0.021), Proof(float("nan"), float("nan"))])
def test_what_does_not_give_mediapipes_answer_is_refused(
    model: Path, monkeypatch: pytest.MonkeyPatch, wrong: Proof
) -> None:
    monkeypatch.setattr(select, "measured", lambda _: wrong)
    networks = face_networks(model)
    assert networks.name == "mediapipe"
    assert "not equal to MediaPipe" in networks.why
    for name in COMPILED:
        with pytest.raises(InputError, match="not equal to MediaPipe"):
            face_networks(model, name)


@pytest.mark.parametrize("make", COMPILED.values(), ids=COMPILED)
def test_the_proof_measures(
    model: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], CompiledNetworks]
) -> None:
    networks = make(model)
    good = proof.measured(networks)
    assert good.equal
    assert good.px < 0.05
    moved = reference()._replace(points_px=reference().points_px + np.float32(0.5))
    monkeypatch.setattr(proof, "reference", lambda: moved)
    assert proof.measured(networks).px == pytest.approx(0.5, abs=0.05)
    blank = reference()._replace(picture=np.zeros((64, 64, 3), np.uint8))
    monkeypatch.setattr(proof, "reference", lambda: blank)
    assert not proof.measured(networks).equal


def test_the_proof_is_mediapipes_own_answer(both: tuple[FaceNetworks, FaceNetworks]) -> None:
    assert proof.measured(both[0]).px < 1e-3


def test_a_model_of_ones_own_is_not_taken_for_proven(model: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.task"
    own.write_bytes(model.read_bytes() + b"\0" * 16)  # still a ZIP archive, with another digest
    assert face_networks(own).name == "mediapipe"
    assert "not proven" in face_networks(own).why
    for name in COMPILED:
        asked = face_networks(own, name)
        assert asked.name == name
        assert "not proven" in asked.why


def test_compiled_once_and_kept(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    openvino._compiled.cache_clear()
    compiled_networks(model, tmp_path)
    kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(kept) == 3
    openvino._compiled.cache_clear()
    monkeypatch.setattr(openvino, "_landmarker", lambda _: pytest.fail("compiled again"))
    assert proof.measured(compiled_networks(model, tmp_path)).equal


@pytest.mark.parametrize("make", COMPILED.values(), ids=COMPILED)
def test_a_file_without_the_networks_is_refused(tmp_path: Path, make: Callable[[Path], CompiledNetworks]) -> None:
    wrong = tmp_path / "face_landmarker.task"
    wrong.write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"face_landmarker\.task"):
        make(wrong)


def test_mediapipe_is_not_imported_for_the_compiled_networks(model: Path) -> None:
    """Nor what comes along with it: that is the start-up time and the memory it saves."""
    code = """
import sys
from capture.face.face_tracker import FaceTracker
with FaceTracker() as tracker:
    assert tracker.tracker == "native", tracker.tracker_why
assert not {"mediapipe", "matplotlib", "openvino"} & set(sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, result.stderr


# --- reading the networks ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network(model: Path) -> bytes:
    with opened_zip(model) as bundle:
        return zip_entry(bundle, "face_landmarks_detector.tflite", str(model), 16 << 20)


def test_a_network_is_read(network: bytes) -> None:
    graph = read_graph(network, "landmarks")
    assert [graph.shapes[tensor] for tensor in (*graph.inputs, graph.outputs[0])] == [(1, 256, 256, 3), (1, 1, 1, 1434)]
    assert sum(each.kind == "DEPTHWISE_CONV_2D" for each in graph.operations) == 34
    assert all(np.isfinite(constant).all() for constant in graph.constants.values())


@pytest.mark.parametrize("seed", range(8))
def test_damaged_networks_are_refused_in_one_line_or_read(network: bytes, seed: int) -> None:
    """Bytes are others, or the end is missing; what is read has layers that fit together."""
    random = np.random.default_rng(seed)
    for number in range(20):
        damaged = bytearray(network[: random.integers(0, 2000)] if number % 3 == 0 else network)
        for at in random.integers(0, min(len(damaged), 30_000) or 1, 8):
            damaged[at : at + 1] = random.bytes(1)
        try:
            graph = read_graph(bytes(damaged), "landmarks")
            Program(graph, graph.outputs[:2], "landmarks")
        except InputError as error:
            refused = str(error)
            assert refused.startswith("landmarks: ")
            assert "\n" not in refused


def test_networks_of_another_kind_are_refused(network: bytes) -> None:
    with pytest.raises(InputError, match=r"landmarks: .*use --tracker"):
        MixerProgram(read_graph(network, "landmarks"), "landmarks")
    graph = read_graph(network, "landmarks")
    with pytest.raises(InputError, match="no result of a convolution"):
        Program(graph, graph.outputs, "landmarks")
