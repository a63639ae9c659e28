"""The parametric head: units move what they name, lids and lips close, nothing pokes through."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture.synthetic.head.eyelids import CONTACT_RING, LOWER, UPPER
from capture.synthetic.head.head_data import load_head_data
from capture.synthetic.head.head_model import HeadModel
from capture.synthetic.head.head_topology import PARTS, make_topology
from capture.synthetic.head.identity import Identity, detail_names, random_identity, with_details
from capture.synthetic.head.lips import REST_OVERLAP, LipContact
from capture.synthetic.head.teeth import ACROSS, DOWN, make_teeth
from core.errors import InputError

DATA = load_head_data()
TOPOLOGY = make_topology(DATA)
UNITS = DATA.names("unit")


@functools.cache
def average_head() -> HeadModel:
    return HeadModel(topology=TOPOLOGY)


@pytest.fixture
def head() -> HeadModel:
    return average_head()


@pytest.fixture(scope="module", params=[0, 1, 2, 3, 4, 5])
def person(request) -> HeadModel:
    rng = np.random.default_rng(request.param)
    return HeadModel(random_identity(rng, DATA), topology=TOPOLOGY)


def finished(head: HeadModel, base_vertices: np.ndarray) -> np.ndarray:
    """Numbers of the skin's finished vertices that lie at these base vertices."""
    used = np.unique(DATA.parts["skin"][TOPOLOGY.kept_quads])
    return np.searchsorted(used, base_vertices) + head.part("skin").start


def lid_gaps_mm(head: HeadModel, points: np.ndarray, side: str) -> np.ndarray:
    """[14] height of the eye's opening along the lid, millimetres."""
    rings = DATA.lid_rings[side]
    upper = points[finished(head, rings[CONTACT_RING, UPPER]), 1]
    lower = points[finished(head, rings[CONTACT_RING, LOWER]), 1]
    return (upper - lower) * 1000


def lip_gaps_mm(head: HeadModel, points: np.ndarray) -> np.ndarray:
    base = np.zeros_like(DATA.vertices, dtype=np.float64)
    used = np.unique(DATA.parts["skin"][TOPOLOGY.kept_quads])
    base[used] = points[finished(head, used)]
    return LipContact(DATA.vertices.astype(np.float64), DATA.lip_rings).gaps(base) * 1000


def test_has_the_52_arkit_units():
    assert len(UNITS) == len(set(UNITS)) == 52
    assert {"jawOpen", "eyeBlinkLeft", "mouthClose", "tongueOut", "browInnerUp", "noseSneerRight"} <= set(UNITS)


def test_data_units_are_metres_and_left_is_plus_x():
    left, right = (DATA.vertices[DATA.part_vertices(f"eye_{side}"), 0].mean() for side in ("left", "right"))
    assert left > 0 > right
    assert 0.055 < left - right < 0.07


def test_every_part_is_there_and_covers_its_vertices(head):
    mesh = head.mesh()
    assert tuple(part.name for part in mesh.parts) == PARTS
    assert sum(part.face_count for part in mesh.parts) == len(mesh.faces)
    assert np.array_equal(np.unique(mesh.faces), np.arange(len(mesh.vertices)))
    for part in mesh.parts:
        start, end = TOPOLOGY.ranges[part.name]
        faces = mesh.faces[part.first_face : part.first_face + part.face_count]
        assert (start, end) == (faces.min(), faces.max() + 1)


def test_eyes_look_forward_and_skin_faces_outwards(head):
    points = head.vertices()
    for name in ("skin", "eye_left", "eye_right", "tongue"):
        faces = head.topology.faces[name]
        a, b, c = (points[faces[:, corner]] for corner in range(3))
        volume = np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6
        assert volume > 0, name


def test_same_identity_gives_the_same_head():
    identity = random_identity(np.random.default_rng(5), DATA)
    first, second = (HeadModel(identity, topology=TOPOLOGY) for _ in range(2))
    assert np.array_equal(first.vertices({"jawOpen": 0.4}), second.vertices({"jawOpen": 0.4}))
    assert np.array_equal(first.colors(), second.colors())


def test_every_unit_moves_something_and_only_a_little(head):
    rest = head.vertices()
    for name in UNITS:
        moved = np.linalg.norm(head.vertices({name: 1.0}) - rest, axis=1)
        assert 0.001 < moved.max() < 0.06, name


@pytest.mark.parametrize(
    ("unit", "region", "axis", "sign"),
    [
        ("jawOpen", "chin", 1, -1),
        ("jawLeft", "chin", 0, 1),
        ("jawRight", "chin", 0, -1),
        ("jawForward", "chin", 2, 1),
        ("mouthSmileLeft", "left mouth corner", 1, 1),
        ("mouthFrownLeft", "left mouth corner", 1, -1),
        ("mouthPucker", "left mouth corner", 0, -1),
        ("mouthStretchLeft", "left mouth corner", 0, 1),
        ("browInnerUp", "inner brow", 1, 1),
        ("browDownLeft", "inner brow", 1, -1),
    ],
)
def test_units_move_the_right_way(person, unit, region, axis, sign):
    template = TOPOLOGY.matrix @ DATA.vertices
    places = {
        "chin": (0, -0.105, 0.02),
        "left mouth corner": (0.0245, -0.067, 0.016),
        "inner brow": (0.016, 0.02, 0.03),
    }
    skin = person.part("skin")
    near = np.argsort(np.linalg.norm(template[skin] - places[region], axis=1))[:12]
    moved = (person.vertices({unit: 1.0}) - person.vertices())[skin][near, axis].mean()
    assert sign * moved > 0.0008


def test_teeth_and_tongue_follow_the_jaw(person):
    moved = person.vertices({"jawOpen": 1.0}) - person.vertices()
    assert np.abs(moved[person.part("teeth_upper")]).max() < 1e-9
    assert moved[person.part("teeth_lower"), 1].mean() < -0.005
    assert moved[person.part("tongue"), 1].mean() < -0.003


def test_eyes_are_open_and_lips_closed_at_rest(person):
    points = person.vertices()
    for side in ("left", "right"):
        assert lid_gaps_mm(person, points, side)[4:10].min() > 3
    assert lip_gaps_mm(person, points).max() < 0.35


def test_a_full_blink_closes_the_eye(person):
    points = person.vertices({"eyeBlinkLeft": 1.0})
    assert np.abs(lid_gaps_mm(person, points, "left")[2:13]).max() < 1.0
    assert lid_gaps_mm(person, points, "right")[4:10].min() > 3


@settings(max_examples=25, deadline=None)
@given(
    st.fixed_dictionaries(
        {
            name: st.floats(0, 1)
            for name in (
                "eyeBlinkLeft",
                "eyeSquintLeft",
                "eyeLookDownLeft",
                "eyeLookUpLeft",
                "eyeWideLeft",
                "cheekSquintLeft",
            )
        }
    )
)
def test_lids_never_cross(weights):
    head = average_head()
    assert lid_gaps_mm(head, head.vertices(weights), "left").min() > -0.6


@settings(max_examples=25, deadline=None)
@given(
    st.fixed_dictionaries(
        {
            name: st.floats(0, 1)
            for name in ("mouthClose", "jawOpen", "mouthRollUpper", "mouthRollLower", "mouthPucker", "mouthPressLeft")
        }
    )
)
def test_lips_never_pass_through_each_other(weights):
    head = average_head()
    assert lip_gaps_mm(head, head.vertices(weights)).min() > -1000 * REST_OVERLAP - 1.0


@pytest.mark.parametrize(
    "unit", ["mouthPressLeft", "mouthPressRight", "mouthRollLower", "mouthShrugUpper", "mouthSmileLeft"]
)
def test_units_of_a_closed_mouth_keep_it_closed(person, unit):
    assert lip_gaps_mm(person, person.vertices({unit: 1.0})).max() < 0.6


def test_mouth_close_shuts_the_open_jaw(person):
    opened = lip_gaps_mm(person, person.vertices({"jawOpen": 1.0})).max()
    closed = lip_gaps_mm(person, person.vertices({"jawOpen": 1.0, "mouthClose": 1.0})).max()
    assert opened > 12
    assert closed < 1.0


@pytest.mark.parametrize(
    "weights", [{}, {"eyeBlinkLeft": 0.5}, {"eyeBlinkLeft": 1.0}, {"eyeLookDownLeft": 1.0, "eyeBlinkLeft": 0.6}]
)
def test_lids_stay_outside_the_eyeball(person, weights):
    points = person.vertices(weights)
    eyeball = person.eyeballs["left"]
    rings = DATA.lid_rings["left"][1:7]
    distance = np.linalg.norm(points[finished(person, rings.ravel())] - eyeball.centre, axis=1)
    assert distance.min() > eyeball.radius - 0.0002


def test_eyeballs_turn_in_their_sockets(person):
    rest = person.vertices()
    for side in ("left", "right"):
        unit = "eyeLookOutLeft" if side == "left" else "eyeLookInRight"
        turned = person.vertices({unit: 1.0})
        ball = person.part(f"eye_{side}")
        pupil = turned[ball][0] - rest[ball][0]
        assert pupil[0] > 0.003  # to the person's left
        radius = np.linalg.norm(turned[ball] - person.eyeballs[side].centre, axis=1)
        assert np.allclose(radius, np.linalg.norm(rest[ball] - person.eyeballs[side].centre, axis=1))


def test_gaze_down_lowers_the_pupils_and_both_eyes_agree(head):
    moved = head.vertices({"eyeLookDownLeft": 1.0, "eyeLookDownRight": 1.0}) - head.vertices()
    left, right = moved[head.part("eye_left")][0], moved[head.part("eye_right")][0]
    assert left[1] < -0.003
    assert np.allclose(left * [-1, 1, 1], right, atol=1e-6)


def test_identity_sliders_change_the_head():
    base = Identity()
    rest = HeadModel(base, topology=TOPOLOGY).vertices()
    for other in (
        Identity(sex=1.0),
        Identity(age_years=70),
        Identity(ancestry=(1, 0, 0)),
        Identity(weight=1.0),
        with_details(base, nose_hump=1.0),
        with_details(base, eye_scale=-1.0),
    ):
        assert np.linalg.norm(HeadModel(other, topology=TOPOLOGY).vertices() - rest, axis=1).max() > 0.001
    assert len(detail_names(DATA)) > 100


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="jawOpn"):
        HeadModel(topology=TOPOLOGY).vertices({"jawOpn": 1.0})
    with pytest.raises(ValueError, match="52"):
        HeadModel(topology=TOPOLOGY).vertices(np.zeros(51))
    with pytest.raises(KeyError, match="nose-size"):
        HeadModel(Identity(details={"nose-size": 1.0}), topology=TOPOLOGY)
    with pytest.raises(ValueError, match="one end"):
        HeadModel(Identity(details={"head-oval": -1.0}), topology=TOPOLOGY)
    with pytest.raises(ValueError, match="age_years"):
        Identity(age_years=3)


def test_damaged_data_is_reported(tmp_path):
    path = tmp_path / "head.npz"
    path.write_bytes(b"PK no archive")
    with pytest.raises(InputError, match=r"head\.npz"):
        load_head_data(path)


def test_colors_tell_the_parts_apart(head):
    colors = head.colors()
    assert colors.min() >= 0
    assert colors.max() <= 1
    fields = head.skin_fields
    skin = colors[head.part("skin")]
    cheek = skin[np.linalg.norm(fields.position - [0.045, -0.045, 0.01], axis=1).argmin()]
    lip = skin[fields.lips.argmax()]
    brow = skin[np.linalg.norm(fields.position - [0.032, 0.0205, 0.03], axis=1).argmin()]
    assert lip[0] - lip[1] > cheek[0] - cheek[1]  # redder
    assert brow.mean() < 0.6 * cheek.mean()
    eye = colors[head.part("eye_left")]
    assert eye.min() < 0.05
    assert eye.max() > 0.7


@pytest.mark.parametrize("jaw", ["upper", "lower"])
def test_neighbouring_teeth_touch(jaw: str) -> None:
    """No slit is left between them, through which the dark behind would show."""
    teeth = make_teeth(DATA, jaw)
    points = np.asarray(teeth.matrix @ DATA.vertices.astype(np.float64))
    per_tooth = len(ACROSS) * len(DOWN)
    rows = points[: int((teeth.gum == 0).sum())].reshape(-1, len(DOWN), len(ACROSS), 3)
    assert len(rows) * per_tooth == (teeth.gum == 0).sum()
    belly = rows[:, DOWN.tolist().index(1.65)]
    along = belly[1:].mean(axis=1) - belly[:-1].mean(axis=1)
    gaps = ((belly[1:, 0] - belly[:-1, -1]) * along).sum(axis=1) / np.linalg.norm(along, axis=1)
    assert gaps.max() < 0


def test_the_lower_teeth_meet_the_upper_ones_behind_them(head: HeadModel) -> None:
    points = head.vertices()
    front = {jaw: points[head.part(f"teeth_{jaw}")] for jaw in ("upper", "lower")}
    front = {jaw: each[np.abs(each[:, 0]) < 0.006] for jaw, each in front.items()}
    assert front["lower"][:, 1].max() > front["upper"][:, 1].min() + 0.0005
    edges = {
        "upper": front["upper"][front["upper"][:, 1].argmin()],
        "lower": front["lower"][front["lower"][:, 1].argmax()],
    }
    assert edges["lower"][2] < edges["upper"][2] - 0.001
