"""Avatars from Basel Face Model coefficients, on a small made-up basis of the same layout."""

import struct
import zlib
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
from calib.mat_file import read_mat
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


@pytest.mark.parametrize("compressed", [False, True])
def test_arrays_are_those_that_were_written(compressed: bool, tmp_path: Path) -> None:
    kinds = ("f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")
    arrays = {f"of_{kind}": np.arange(1, 13).reshape(3, 4).astype(kind) for kind in kinds}
    others = {"text": "hello", "cells": np.array([1, "x"], dtype=object), "one": np.uint8(7), "z": np.array([1j])}
    path = tmp_path / "any.mat"
    savemat(path, others | arrays | {"empty": np.zeros((0, 3))}, do_compression=compressed)
    found = read_mat(path, [*arrays, "one", "empty", "absent"], 1 << 20)
    assert set(found) == {*arrays, "one", "empty"}
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
    assert found["one"].tolist() == [[7]]
    assert found["empty"].shape == (0, 3)
    for name in ("text", "cells", "z"):
        with pytest.raises(InputError, match="no array of real numbers"):
            read_mat(path, [name], 1 << 20)
    with pytest.raises(InputError, match="more than 90 bytes"):
        read_mat(path, ["of_u1"], 90)


def test_a_model_that_claims_far_too_much_is_refused(tmp_path: Path) -> None:
    """An array of a gigabyte, by its own account or by what the length of its content says."""
    shape = struct.pack("<2I2I2I2i", 6, 8, 9, 0, 5, 8, 1 << 15, 1 << 15)
    name = struct.pack("<2I", 1, 6) + b"exBase\0\0"
    for shape_said in (shape, shape[:-8] + struct.pack("<2i", 3, 64)):
        matrix = struct.pack("<2I", 14, 1 << 30) + shape_said + name + struct.pack("<2I", 2, 1 << 30)
        packed = zlib.compress(matrix)
        header = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x0100) + b"IM"
        path = tmp_path / "bomb.mat"
        path.write_bytes(header + struct.pack("<2I", 15, len(packed)) + packed)
        with pytest.raises(InputError, match=r"more than|at most") as caught:
            load_model(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"), [("meanshape", np.nan), ("idBase", np.inf), ("texBase", 1e300), ("tri", np.nan), ("tri", 1.5)]
)
def test_a_model_of_numbers_that_are_none_is_refused(name: str, value: float, tmp_path: Path) -> None:
    content = made_up()
    content[name] = content[name].astype(np.float64)
    content[name].reshape(-1)[0] = value
    savemat(tmp_path / "model.mat", content)
    with pytest.raises(InputError, match="expected"):
        load_model(tmp_path / "model.mat")


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
