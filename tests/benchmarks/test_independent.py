"""The judge by independent artists: what is hidden stays hidden, and figures are what they say."""

import json
import math
import struct
from pathlib import Path

import numpy as np
import pytest

from benchmarks.artists_known import TEMPLATE_BASES, Learned
from benchmarks.leave_out import sizes_over_shipped, without
from benchmarks.likeness_independent import AVATARS, COLUMNS, DRIVERS, OURS, TRUE, judged, over, tables
from benchmarks.likeness_methods import flow_options
from benchmarks.rig import unit_figures
from benchmarks.rig_heads import REGIONS, face_regions, without_shapes, write_hidden
from benchmarks.rig_performers import EXPRESSIONS, HOLDS, NEUTRAL_FRAME, RESTS, SCORED, playable, timeline
from calib.rig.template_units import template_data
from core.expression_units import UNIT_NAMES
from render.mesh.mesh_io import load_mesh
from tools.artist_rigs import load_rig


def _glb(document: dict[str, object], blob: bytes) -> bytes:
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    head = struct.pack("<IIIII", 0x46546C67, 2, 28 + len(text) + len(blob), len(text), 0x4E4F534A)
    return head + text + struct.pack("<II", len(blob), 0x004E4942) + blob


def test_a_head_is_written_without_its_shapes() -> None:
    primitive = {"attributes": {"POSITION": 0}, "targets": [{"POSITION": 1}]}
    mesh = {"primitives": [primitive], "weights": [0.0], "extras": {"targetNames": ["jawOpen"]}}
    whole = _glb({"meshes": [mesh], "nodes": [{"mesh": 0, "weights": [1.0]}], "animations": [{}]}, b"12345678")
    bare = without_shapes(whole)
    assert struct.unpack_from("<I", bare, 8)[0] == len(bare)
    assert not [word for word in (b"targets", b"jawOpen", b"weights", b"animations") if word in bare]
    assert bare.endswith(b"12345678")
    assert json.loads(bare[20 : 20 + struct.unpack_from("<I", bare, 12)[0]])["nodes"] == [{"mesh": 0}]


@pytest.mark.parametrize("name", ["cc0:1", "ict:3", "valid:White_M_1"])
def test_the_file_has_the_rigs_vertices_and_no_shape(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    rigs = None if name.startswith("cc0") else request.getfixturevalue("shared_data") / "rigs"
    if rigs is not None and not (rigs / "ict_facekit.npz").is_file():
        pytest.skip("needs the rigs of other artists: ict_facekit.npz and valid/")
    rig = load_rig(name, rigs)
    path = tmp_path / f"{rig.basis}.glb"
    of_file = write_hidden(rig, path)
    mesh = load_mesh(path)
    apart = mesh.vertices.astype(np.float64) - rig.mesh.vertices[of_file]
    assert np.abs(apart - apart.mean(axis=0)).max() < 1e-5
    assert b'"targets"' not in path.read_bytes()


def test_a_performance_rests_first_and_is_judged_by_what_is_held() -> None:
    weights, held = timeline(["jaw", "blink"])
    assert weights.shape == (len(weights), 52)
    assert not weights[:RESTS].any()
    assert NEUTRAL_FRAME < RESTS
    assert SCORED <= HOLDS
    for name, frames in held.items():
        for unit, weight in EXPRESSIONS[name].items():
            assert weights[frames, UNIT_NAMES.index(unit)] == pytest.approx(weight)
        others = [number for number, unit in enumerate(UNIT_NAMES) if unit not in EXPRESSIONS[name]]
        assert not weights[np.ix_(frames, others)].any()


def test_every_expression_is_of_known_units_and_who_lacks_one_does_not_play_it() -> None:
    for weights in EXPRESSIONS.values():
        assert set(weights) <= set(UNIT_NAMES)
    assert playable(dict.fromkeys(UNIT_NAMES)) == list(EXPRESSIONS)
    assert playable({"jawOpen": None}) == ["jaw"]


def test_it_is_told_whose_shapes_the_program_knows() -> None:
    blind, shipped = Learned(frozenset({"cc0"})), Learned()
    for driver in DRIVERS:
        for avatar in AVATARS:
            bases = driver.partition(":")[0], avatar.partition(":")[0]
            assert blind.pair(*bases) == "neither"
            assert shipped.pair(*bases) == "both"  # the shipped prior has seen them all
    assert blind.pair("cc0", "valid") == "driver"
    assert blind.pair("ict", "cc0") == "avatar"
    assert Learned(frozenset({"cc0", "ict"})).pair("ict", "cc0") == "both"
    assert Learned(frozenset({"cc0"}), template=TEMPLATE_BASES).pair("ict", "valid") == "avatar"


def test_it_is_told_whose_people_trained_the_flow_network() -> None:
    learned = Learned(frozenset({"cc0"}), network=frozenset({"cc0"}), own_network=frozenset({"cc0", "ict"}))
    by_prior, by_encoder = flow_options(Path("own/network.pt")), flow_options(None)
    shipped, own = by_prior["flow, prior"], by_prior["flow own, prior"]
    assert learned.pair("valid", "ict") == learned.pair("valid", "ict", shipped) == "neither"
    assert learned.pair("valid", "ict", own) == "avatar"
    assert learned.pair("ict", "valid", own) == "neither"  # the prior names the code, and has not seen ICT
    assert learned.pair("ict", "valid", by_prior["flow own, encoder"]) == "driver"
    encoder = by_encoder["flow, encoder"]
    assert Learned(network=frozenset({"cc0"})).pair("ict", "valid", encoder) == "neither"  # whatever the prior has seen
    assert Learned().pair("ict", "valid", encoder) == "avatar"  # the generator has seen both, the encoder neither
    assert learned.units_on("ict") == learned.units_on("ict", shipped) == "neither"
    assert learned.units_on("ict", own) == "avatar"
    assert Learned(template=TEMPLATE_BASES).units_on("ict") == "avatar"


def test_an_artist_that_is_left_out_moves_no_avatar() -> None:
    shipped = template_data()
    with without("ict"):
        other = template_data()
    again = template_data()
    for name in ("unit/mouthFunnel", "unit/browInnerUp"):
        assert np.abs(other.dense(name) - shipped.dense(name)).max() > 3e-4
        assert np.array_equal(again.dense(name), shipped.dense(name))
    assert np.array_equal(other.dense("unit/eyeBlinkLeft"), shipped.dense("unit/eyeBlinkLeft"))


def _toy() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    true = np.zeros((4, 6, 3), dtype=np.float32)
    true[:, :3, 1] = 0.004
    regions = {name: np.zeros(6, dtype=bool) for name in REGIONS}
    regions["lips"][:3] = True
    regions["jaw"][3:] = True
    return true, regions


def test_a_perfect_answer_half_an_answer_and_none() -> None:
    true, regions = _toy()
    for share in (1.0, 0.5, 0.0):
        figures = judged(true, np.float32(share) * true, regions)
        assert figures["explained"] == pytest.approx(share)
        assert figures["amplitude"] == pytest.approx(share)
        assert figures["lips"] == pytest.approx(share)
        assert figures["error_mm"] == pytest.approx(4 * (1 - share))
        assert math.isnan(figures["jaw"])


def test_units_that_point_elsewhere_have_another_cosine() -> None:
    true, regions = _toy()
    aside = np.zeros_like(true)
    aside[:, :3, 0] = 0.004
    assert unit_figures(true[0], true[0], regions)["cosine"] == pytest.approx(1)
    figures = unit_figures(true[0], aside[0], regions)
    assert figures["cosine"] == pytest.approx(0, abs=1e-6)
    assert figures["all_mm"] == pytest.approx(0.5 * 4 * math.sqrt(2), rel=1e-5)


def test_means_are_over_expressions_then_over_pairs() -> None:
    columns = dict.fromkeys(("amplitude", "error_mm", *REGIONS), 1.0)
    takes = [("a", "x", 0.2), ("a", "x", 0.4), ("b", "x", 0.9)]
    results = [{"driver": d, "head": h, "row": "r", "explained": value} | columns for d, h, value in takes]
    mean = over(results, "row")["r",]
    assert mean["explained"] == pytest.approx((0.3 + 0.9) / 2)
    assert mean["pairs"] == 2


def test_a_vertex_belongs_to_the_region_of_the_nearest_landmark() -> None:
    from capture.face.face_model_file import find_face_model
    from core.canonical_face import load_canonical_face

    points = load_canonical_face(find_face_model()).points[:468]
    regions = face_regions(points, points)
    assert sum(int(mask.sum()) for mask in regions.values()) == 468
    assert regions["lips"][[0, 17, 61, 291, 13]].all()
    assert regions["lids"][[159, 145, 33, 263]].all()
    assert regions["brows"][[105, 334, 10]].all()
    assert regions["jaw"][[152, 199]].all()
    assert regions["cheeks, nose"][[4, 50, 280]].all()


def test_the_table_by_expression_shows_what_a_user_gets_beside_the_transfer_alone() -> None:
    """A prior that has seen both artists must not empty the columns of all rows but the transfer's."""
    figures = dict.fromkeys(COLUMNS, 0.25)
    result = {"driver": "d", "head": "h", "expression": "blink", "loose": False} | figures
    results = [result | {"row": row, "known": who} for row, who in ((TRUE, "neither"), (OURS, "both"))]
    by_expression = tables(results)[1]
    cells = {str(column.header): list(column.cells) for column in by_expression.columns}
    assert cells[OURS] == cells[TRUE] == ["0.25"]


def test_what_the_prior_says_in_shipped_units_is_as_large_a_motion_in_those_without_an_artist() -> None:
    """ICT made the largest sneer of four: without it the unit is small, and so much more of it has to be played."""
    assert sizes_over_shipped() == pytest.approx(1.0)
    sneer = UNIT_NAMES.index("noseSneerLeft")
    with without("ict"):
        assert sizes_over_shipped()[sneer] > 1.3
        assert sizes_over_shipped()[UNIT_NAMES.index("eyeBlinkLeft")] == pytest.approx(1.0)
    assert sizes_over_shipped() == pytest.approx(1.0)
