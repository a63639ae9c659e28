"""Avatars from Basel Face Model coefficients, on a small made-up basis of the same layout."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from calib.bfm import (
    COEFFICIENTS,
    bfm_mesh,
    colors_of,
    harmonics,
    load_coefficients,
    load_model,
    rotation,
    shape_of,
)
from render.errors import InputError

SIDE = 6
COUNT = SIDE * SIDE


def made_up() -> dict[str, Any]:
    """A curved patch; the first identity direction widens it, the first expression one lifts a corner."""
    rng = np.random.default_rng(0)
    x, y = np.meshgrid(np.linspace(-1, 1, SIDE), np.linspace(-1, 1, SIDE))
    mean = np.stack([x.ravel(), y.ravel(), 0.5 - 0.3 * (x**2 + y**2).ravel()], axis=1)
    identity, expression = rng.normal(0, 0.01, (COUNT, 3, 80)), rng.normal(0, 0.01, (COUNT, 3, 64))
    identity[:, :, 0] = mean * [0.5, 0, 0]
    expression[:, :, 0] = 0
    expression[-1, :, 0] = [0, 1, 0]
    texture = rng.normal(0, 1, (COUNT, 3, 80))
    corner = (np.arange(SIDE - 1)[:, None] * SIDE + np.arange(SIDE - 1)).ravel()
    tri = np.concatenate(
        [np.stack([corner, corner + 1, corner + SIDE], 1), np.stack([corner + 1, corner + SIDE + 1, corner + SIDE], 1)]
    )
    return {
        "meanshape": mean.reshape(1, -1),
        "idBase": identity.reshape(COUNT * 3, 80),
        "exBase": expression.reshape(COUNT * 3, 64),
        "meantex": np.tile([200.0, 150.0, 120.0], COUNT)[None],
        "texBase": texture.reshape(COUNT * 3, 80),
        "tri": tri + 1,
    }


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "BFM09_model_info.mat"
    savemat(path, made_up())
    return path


def coefficients_file(tmp_path: Path, values: np.ndarray[Any, Any]) -> Path:
    path = tmp_path / "face.npy"
    np.save(path, values)
    return path


def test_coefficients_split_in_the_published_order(tmp_path: Path) -> None:
    face = load_coefficients(coefficients_file(tmp_path, np.arange(257.0)[None]))
    starts = [
        face.identity[0],
        face.expression[0],
        face.texture[0],
        face.angles[0],
        face.light[0, 0],
        face.translation[0],
    ]
    assert starts == [0, 80, 144, 224, 227, 254]
    assert face.light[1, 0] == 236


def test_mean_face_and_single_directions(model_file: Path, tmp_path: Path) -> None:
    model = load_model(model_file)
    values = np.zeros(COEFFICIENTS)
    mean = shape_of(model, load_coefficients(coefficients_file(tmp_path, values)))
    np.testing.assert_allclose(mean, model.mean_shape, atol=1e-12)
    values[0] = 2.0
    wide = shape_of(model, load_coefficients(coefficients_file(tmp_path, values)))
    np.testing.assert_allclose(wide[:, 0], mean[:, 0] * 2, atol=1e-9)
    values[80] = 3.0
    lifted = shape_of(model, load_coefficients(coefficients_file(tmp_path, values)))
    assert np.flatnonzero(np.abs(lifted - wide).max(axis=1) > 1e-9).tolist() == [COUNT - 1]


def test_avatar_is_neutral_and_placed(model_file: Path, tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(0, 0.1, COEFFICIENTS)
    plain = values.copy()
    plain[80:144] = 0
    plain[224:227] = 0
    mesh = bfm_mesh(coefficients_file(tmp_path, values), model_file)
    other = bfm_mesh(coefficients_file(tmp_path, plain), model_file)
    np.testing.assert_array_equal(mesh.vertices, other.vertices)
    assert mesh.vertices[:, 2].mean() == pytest.approx(2.0, abs=0.2)
    assert mesh.vertex_colors is not None
    assert mesh.vertex_colors.min() >= 0
    assert mesh.vertex_colors.max() <= 1
    assert np.ptp(mesh.vertex_colors) > 0.1
    a, b, c = (mesh.vertices[mesh.faces[:, i]] for i in range(3))
    assert np.cross(b - a, c - a)[:, 2].sum() > 0


def test_rotation_is_proper_and_turns_as_said() -> None:
    R = rotation(np.array([0.3, -0.5, 0.2]))
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(R) == pytest.approx(1.0)
    yaw = np.array([0.0, 0.0, 1.0]) @ rotation(np.array([0.0, 0.4, 0.0]))
    assert yaw[0] == pytest.approx(np.sin(0.4))  # the nose turns to +x


def test_light_bands(model_file: Path, tmp_path: Path) -> None:
    sphere = np.random.default_rng(2).normal(size=(200_000, 3))
    sphere /= np.linalg.norm(sphere, axis=1, keepdims=True)
    bands = harmonics(sphere)
    product = bands.T @ bands / len(sphere)
    off = product - np.diag(np.diag(product))
    assert np.abs(off).max() < 0.03 * np.diag(product).min() + 0.03  # orthogonal over the sphere
    values = np.zeros(COEFFICIENTS)
    values[227 + 2] = 0.5  # more red from the front
    model = load_model(model_file)
    plain = colors_of(model, load_coefficients(coefficients_file(tmp_path, np.zeros(COEFFICIENTS))))
    red = colors_of(model, load_coefficients(coefficients_file(tmp_path, values)))
    assert (red[:, 0] >= plain[:, 0]).all()
    np.testing.assert_array_equal(red[:, 1:], plain[:, 1:])


@pytest.mark.parametrize("values", [np.zeros(256), np.full(257, np.nan), np.array(["a"] * 257)])
def test_wrong_coefficients_are_one_line(values: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"face\.npy") as caught:
        load_coefficients(coefficients_file(tmp_path, values))
    assert "\n" not in str(caught.value)


def test_pickled_coefficients_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "face.npy"
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="plain numbers"):
        load_coefficients(path)


def test_wrong_models_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_model(tmp_path / "absent.mat")
    path = tmp_path / "model.mat"
    path.write_bytes(b"not matlab")
    with pytest.raises(InputError, match="MATLAB"):
        load_model(path)
    content = made_up()
    del content["exBase"]
    savemat(path, content)
    with pytest.raises(InputError, match="lacks exBase"):
        load_model(path)
    savemat(path, made_up() | {"idBase": np.zeros((COUNT * 3, 79))})
    with pytest.raises(InputError, match="idBase"):
        load_model(path)
    savemat(path, made_up() | {"tri": np.array([[1, 2, COUNT + 1]])})
    with pytest.raises(InputError, match="tri"):
        load_model(path)
