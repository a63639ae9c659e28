"""Placing landmarks by clicking: order, undo, what is kept, where a click falls; and the window's steps, headless."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calib.by_hand.landmark_placing import ORDER, LandmarkPlacing, pick
from calib.by_hand.placing_window import PlacingScene, PlacingWindow, guide_picture, other_fronts
from calib.survey.hand_landmarks import GUIDE, LANDMARK_OF
from capture.face.face_model_file import find_face_model
from core.canonical_face import CanonicalFace, load_canonical_face
from core.errors import InputError
from core.mesh import Mesh
from realtime.offline_commands import kept_so_far
from render.window.viewer import Viewer


@pytest.fixture(scope="module")
def face() -> CanonicalFace:
    return load_canonical_face(find_face_model())


def test_every_point_comes_once_and_the_other_side_last() -> None:
    assert sorted(ORDER) == sorted(LANDMARK_OF)
    assert not any(name.startswith("right_") for name in ORDER[: len(GUIDE)])


def test_points_are_kept_at_once_and_gone_on_with(tmp_path: Path, sheet: Mesh, face: CanonicalFace) -> None:
    path = tmp_path / "p.json"
    placing = LandmarkPlacing(path, sheet, face.points)
    assert placing.place(np.array([1.0, 2.0, 3.0])) == ORDER[0]
    assert json.loads(path.read_text())["points"] == {ORDER[0]: [1.0, 2.0, 3.0]}
    again = LandmarkPlacing(path, sheet, face.points)
    assert again.next == ORDER[1]
    again.place(np.zeros(3))
    assert again.undo() == ORDER[1]
    assert again.undo() == ORDER[0]
    assert again.undo() is None
    assert json.loads(path.read_text())["points"] == {}


def test_required_points_cannot_be_skipped(tmp_path: Path, sheet: Mesh, face: CanonicalFace) -> None:
    placing = LandmarkPlacing(tmp_path / "p.json", sheet, face.points)
    while placing.next is not None:
        name = placing.next
        if not placing.skip():
            assert not placing.complete
            placing.place(face.points[LANDMARK_OF[name]])
    assert placing.complete
    assert len(placing.points) == sum(guide.required for guide in GUIDE)
    mirrored = np.array(placing.mirrored())
    expected = face.points[[guide.landmarks[1] for guide in GUIDE if guide.required and guide.sided]]
    np.testing.assert_allclose(mirrored, expected, atol=0.004)


def test_a_file_of_something_else_is_left_alone(tmp_path: Path, sheet: Mesh, face: CanonicalFace) -> None:
    path = tmp_path / "p.json"
    path.write_text('{"my": "thesis"}')
    with pytest.raises(InputError, match="not a file of landmarks"):
        LandmarkPlacing(path, sheet, face.points)
    assert path.read_text() == '{"my": "thesis"}'
    with pytest.raises(InputError, match="cannot be written"):
        LandmarkPlacing(tmp_path / "none" / "p.json", sheet, face.points)


def test_a_ray_meets_the_nearest_surface(sheet: Mesh) -> None:
    two = np.concatenate([sheet.vertices, sheet.vertices + np.array([0, 0, 1])]).astype(float)
    faces = np.concatenate([sheet.faces, sheet.faces + len(sheet.vertices)])
    hit = pick(two, faces, np.array([0.1, 0.2, 5.0]), np.array([0.0, 0.0, -2.0]))
    assert hit is not None
    np.testing.assert_allclose(hit, [0.1, 0.2, 1.0], atol=1e-9)
    assert pick(two, faces, np.array([9.0, 0.2, 5.0]), np.array([0.0, 0.0, -1.0])) is None
    assert pick(two, faces, np.array([0.1, 0.2, 5.0]), np.array([0.0, 0.0, 1.0])) is None


def test_clicks_and_keys_place_points_where_they_are_seen(tmp_path: Path, sheet: Mesh, face: CanonicalFace) -> None:
    scene = PlacingScene(sheet, "y", "z")
    placing = LandmarkPlacing(tmp_path / "p.json", sheet, face.points)
    noted: list[str] = []
    with Viewer(scene.mesh, (320, 240), headless=True) as viewer:
        viewer.notify = noted.append  # type: ignore[method-assign]
        window = PlacingWindow(viewer, scene, placing, face)
        window.step()
        bare = viewer.read_rgb().copy()
        for target in ([0.3, 0.1, 0.0], [-0.2, -0.25, 0.0]):
            camera = viewer.controls.camera.T_camera_world()
            seen = scene.to_view(np.array([target])) @ camera[:3, :3].T + camera[:3, 3]
            pixel = viewer.intrinsics.project(seen)[0]
            viewer.controls.click(pixel[0] / 320, pixel[1] / 240)
            window.step()
            np.testing.assert_allclose(list(placing.points.values())[-1], target, atol=1e-6)
        marked = viewer.read_rgb()
        assert noted == [f"placed: {name.replace('_', ' ')}; Backspace takes it back" for name in ORDER[:2]]
        green = (marked[..., 1].astype(int) - bare[..., 1]) > (marked[..., 0].astype(int) - bare[..., 0]) + 40
        assert green.sum() >= 4
        viewer.controls.click(0.001, 0.001)  # beside it
        viewer.controls.press("BACKSPACE")
        viewer.controls.press("ENTER")
        viewer.controls.press("TAB")
        window.step()
        assert list(placing.points) == [ORDER[0]]
        assert not window.finished
        viewer.controls.press("ESCAPE")
        window.step()
        assert window.finished


def test_the_status_counts_points_and_names_sides_and_keys(tmp_path: Path, sheet: Mesh, face: CanonicalFace) -> None:
    scene = PlacingScene(sheet, "y", "z")
    placing = LandmarkPlacing(tmp_path / "p.json", sheet, face.points)
    told: list[str] = []
    with Viewer(scene.mesh, (320, 240), headless=True) as viewer:
        show = viewer.show

        def listening(*given: Any) -> None:
            told.append(given[-1])
            show(*given)

        viewer.show = listening  # type: ignore[method-assign]
        window = PlacingWindow(viewer, scene, placing, face)
        window.step()
        while placing.next is not None:
            placing.place(face.points[LANDMARK_OF[placing.next]])
            viewer.controls.changed = True
            viewer.controls.press("SHIFT")
            window.step()
    assert told[0].startswith("point 1 of 33, 9 are enough · click left eye outer · ")
    assert "eye, left in the picture · " in told[0]
    assert max(map(len, told)) <= 135, "one line of a window of 960 pixels"
    assert len(ORDER) == 33
    (chin,) = [line for line in told if "click chin" in line]
    assert "in the picture" not in chin
    (right,) = [line for line in told if "click right eye outer" in line]
    assert "eye, right in the picture · Tab skips · " in right
    assert "enough" not in right


@pytest.mark.parametrize(
    ("up", "front", "told"),
    [("y", "z", "-z, x or -x"), ("y", "-z", "z, x or -x"), ("y", "x", "-x, z or -z"), ("z", "-y", "y, x or -x")],
)
def test_other_sides_are_offered_than_the_one_shown(up: str, front: str, told: str) -> None:
    assert other_fronts(up, front) == told


def test_nothing_is_said_to_be_kept_where_nothing_was_placed() -> None:
    path = Path("cow.json")
    assert kept_so_far(path, 0) == "no point was placed; the same command begins again"
    assert kept_so_far(path, 1) == "kept so far: 1 point in cow.json; the same command goes on with them"


def test_the_guide_shows_what_comes_next(face: CanonicalFace) -> None:
    plain = guide_picture(face, set(), None)
    chin = guide_picture(face, set(), "chin")
    rows, columns = np.nonzero((plain != chin).any(axis=-1))
    assert rows.mean() > 0.85 * len(plain)
    assert columns.mean() == pytest.approx(plain.shape[1] / 2, abs=3)
