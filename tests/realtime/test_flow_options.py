"""The flow engine from the command line: its options, checkpoints that are none, and heads from coefficients."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import tyro
from scipy.io import savemat

from calib.avatar import Avatar, prepare_avatar
from calib.preparation_options import PreparationOptions
from capture.synthetic import builtin_avatar_path
from core.errors import InputError
from engine.flow.network.checkpoint import save_checkpoint
from engine.flow.network.config import NetworkConfig
from engine.flow.network.network import FaceNetwork
from engine.flow.published.flow_engine import FlowEngine
from engine.flow.published.flow_options import FlowOptions, Quirks
from realtime.config import AnimateOptions, ExportOptions, LiveOptions, PrepareOptions
from realtime.engines import make_engine
from realtime.live_command import check_paths
from render.mesh.mesh_io import load_mesh
from tests.realtime.test_cli import call, expect_one_line

THIN = NetworkConfig(
    widths=dict.fromkeys((4, 8, 16, 32, 64, 128, 256), 4),
    style_dim=8,
    motion_dim=4,
    depth_motion_dim=3,
    inpaint_widths=(2, 2, 2),
    inpaint_blocks=1,
)
FLOW = ("--engine", "flow", "--avatar", "lowpoly", "--backend", "eager")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("checkpoint") / "thin.pt"
    save_checkpoint(path, FaceNetwork(THIN).eval())
    return path


def live(*arguments: object) -> LiveOptions:
    return tyro.cli(LiveOptions, args=[str(argument) for argument in arguments])


def refusal(capsys: pytest.CaptureFixture[str], options: type[Any], *arguments: object) -> str:
    """What is told when these arguments are refused, on one line; ends with status 2."""
    with pytest.raises(SystemExit) as ended:
        tyro.cli(options, args=[str(argument) for argument in arguments])
    assert ended.value.code == 2
    return " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_nothing_given_is_the_engine_s_own_choice() -> None:
    options = live("--checkpoint", "VFA.pt")
    assert options.flow == FlowOptions()
    assert options.flow.given() == []


def test_every_option_reaches_the_engine() -> None:
    options = live(
        "--checkpoint", "VFA.pt", "--weights", "geodesic", "--weights-k", 7, "--smoothing", 0.25,
        "--smoothing-rounds", 3, "--driving-channel-order", "rgb", "--unprojection", "pinhole", "--rigid", "apart",
        "--backend", "openvino", "--source-renderer", "moderngl",
    )  # fmt: skip
    flow = options.flow
    assert (flow.weights, flow.weights_k, flow.smoothing, flow.smoothing_rounds) == ("geodesic", 7, 0.25, 3)
    assert flow.quirks(released=True) == Quirks("rgb", "pinhole", "apart")
    assert (flow.backend, flow.source_renderer) == ("openvino", "moderngl")
    assert len(flow.given()) == 9


@pytest.mark.parametrize(
    "option",
    [
        ("--weights", "geodesic"), ("--weights-k", 5), ("--smoothing", 0.5), ("--smoothing-rounds", 2),
        ("--driving-channel-order", "bgr"), ("--unprojection", "pinhole"), ("--rigid", "apart"),
        ("--source-renderer", "pytorch3d"), ("--backend", "native"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("engine", [(), ("--engine", "landmark")])
def test_with_another_engine_it_is_an_error(
    option: tuple[object, ...], engine: tuple[object, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    told = refusal(capsys, LiveOptions, *engine, *option)
    assert f"{option[0]}: only the flow engine uses it; add --engine flow or --checkpoint" in told


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--weights-k", 0),
        ("--weights-k", 1000),
        ("--smoothing", 1.5),
        ("--smoothing", "nan"),
        ("--smoothing-rounds", -1),
    ],
)
def test_values_out_of_range(option: str, value: object, capsys: pytest.CaptureFixture[str]) -> None:
    told = refusal(capsys, LiveOptions, "--checkpoint", "VFA.pt", f"{option}={value}")
    assert f"{option} {value}: expected" in told
    assert "the published value is" in told


def test_the_other_commands_have_what_matters_to_them() -> None:
    animate = tyro.cli(AnimateOptions, args=["--driving", "d", "--out", "o", "--checkpoint", "c", "--rigid", "apart"])
    assert animate.flow.rigid == "apart"
    prepare = tyro.cli(PrepareOptions, args=["--weights", "published", "--weights-k", "6"])
    assert (prepare.weights.weights, prepare.weights.weights_k) == ("published", 6)
    export = tyro.cli(ExportOptions, args=["--checkpoint", "c", "--out", "o", "--source-renderer", "pytorch3d"])
    assert export.source.source_renderer == "pytorch3d"


def test_the_avatar_s_own_weights_drive_it(checkpoint: Path, lowpoly: Avatar) -> None:
    engine = make_engine(live("--checkpoint", checkpoint, *FLOW, "--weights", "geodesic", "--rigid", "deform"), lowpoly)
    assert isinstance(engine, FlowEngine)
    shift = np.tile([0.1, -0.2, 0.05], (len(engine._controllers_at), 1))
    assert len(shift) > 40
    delta, _ = engine._pose(shift, np.ones(len(shift), bool))
    face = np.abs(lowpoly.landmarks[:, None] - lowpoly.display_mesh.vertices).sum(axis=2).argmin(axis=1)
    np.testing.assert_allclose(delta[face], np.tile([0.1, -0.2, 0.05], (len(face), 1)), atol=1e-3)


def test_pytorch3d_where_it_is_not_installed(checkpoint: Path, lowpoly: Avatar) -> None:
    options = live("--checkpoint", checkpoint, *FLOW, "--source-renderer", "pytorch3d")
    with pytest.raises(InputError, match="--source-renderer pytorch3d: PyTorch3D is not installed"):
        make_engine(options, lowpoly)


@pytest.mark.usefixtures("lowpoly")
def test_the_flow_engine_drives_the_demo(checkpoint: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    result = call(
        "vfa-live", *FLOW, "--checkpoint", checkpoint, "--weights", "geodesic", "--unprojection", "published",
        "--smoothing-rounds", 2, "--headless", "--size", 160, 120, "--seconds", 2, "--report", report,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    figures: dict[str, Any] = json.loads(report.read_text())
    assert figures["engine"] == "flow"
    assert figures["frames"]["processed"] >= 2


@pytest.mark.parametrize("kind", ["bytes", "empty", "zip"])
def test_a_checkpoint_that_is_none_ends_in_one_line_before_any_work(kind: str, tmp_path: Path) -> None:
    rubbish = tmp_path / "rubbish.pt"
    rubbish.write_bytes(b"rubbish" if kind == "bytes" else b"")
    if kind == "zip":
        np.savez(tmp_path / "arrays.npz", numbers=np.zeros(3))
        (tmp_path / "arrays.npz").rename(rubbish)
    result = call("vfa-live", *FLOW, "--checkpoint", rubbish, "--headless", "--size", 160, 120, "--seconds", 2)
    expect_one_line(result, f"--checkpoint {rubbish}", "expected a network checkpoint")
    assert len(result.stderr.splitlines()) == 1, "no engine was announced"


@pytest.mark.parametrize("zipped", [True, False])
def test_both_forms_of_a_checkpoint_are_let_through(zipped: bool, tmp_path: Path) -> None:
    torch.save({"gen": {}}, tmp_path / "it.pt", _use_new_zipfile_serialization=zipped)
    check_paths(live("--checkpoint", tmp_path / "it.pt"))


@pytest.fixture(scope="module")
def basel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a made-up model in the Basel Face Model's layout, whose mean is a built-in head, and a face."""
    folder = tmp_path_factory.mktemp("basel")
    head = load_mesh(builtin_avatar_path("lowpoly"))
    count = len(head.vertices)
    identity = np.zeros((3 * count, 80))
    identity[0::3, 0] = 0.05 * head.vertices[:, 0]  # the first direction widens
    assert head.vertex_colors is not None
    content = {
        "meanshape": head.vertices.reshape(1, -1), "idBase": identity, "exBase": np.ones((3 * count, 64)),
        "meantex": 255 * head.vertex_colors.reshape(1, -1), "texBase": np.zeros((3 * count, 80)),
        "tri": head.faces + 1,
    }  # fmt: skip
    savemat(folder / "BFM09_model_info.mat", content)
    coefficients = np.zeros(257)
    coefficients[[0, 90]] = 1.0, 5.0  # wider; the expression is taken away
    np.save(folder / "face.npy", coefficients)
    return folder


def test_a_head_from_coefficients(basel: Path) -> None:
    result = call(
        "vfa", "prepare", "--avatar", basel / "face.npy", "--bfm", basel / "BFM09_model_info.mat", "--weights",
        "geodesic", "--picture", basel / "face.png",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "flow engine: " in result.stderr
    assert (basel / "face.png").stat().st_size > 10_000
    avatar = prepare_avatar(basel / "face.npy", PreparationOptions(bfm=basel / "BFM09_model_info.mat"))
    mean = load_mesh(builtin_avatar_path("lowpoly")).vertices
    wide, high = np.ptp(avatar.file_mesh.vertices, axis=0)[:2]
    assert wide / high == pytest.approx(1.05 * np.ptp(mean[:, 0]) / np.ptp(mean[:, 1]), rel=1e-4)


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (("--avatar", "face.npy"), "add --bfm"),
        (("--avatar", "head.obj", "--bfm", "m.mat"), "only --avatar COEFFICIENTS.npy"),
        (("--avatar", "face.npy", "--bfm", "m.mat", "--texture", "t.png"), "leave it out"),
    ],
)
def test_coefficients_and_model_belong_together(
    arguments: tuple[str, ...], fragment: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for options in (LiveOptions, PrepareOptions):
        assert fragment in refusal(capsys, options, *arguments)


def test_a_model_that_is_none_ends_in_one_line(basel: Path) -> None:
    result = call("vfa", "prepare", "--avatar", basel / "face.npy", "--bfm", basel / "nothing.mat")
    expect_one_line(result, "nothing.mat", "--bfm")
