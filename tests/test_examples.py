"""The examples run, and what the API promises is there."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from realtime import api
from render.mesh.export.gltf_document import GltfDocument
from render.mesh.gltf_buffers import read_gltf_file

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_animate_frames_prints_what_the_head_does_and_leaves_a_picture(tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "animate_frames.py")]
    environment = os.environ | {"PYTHONPATH": str(EXAMPLES.parent)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 10
    assert "vertices" in lines[-1]
    picture = np.asarray(Image.open(tmp_path / "animated.png"))
    assert picture.shape == (480, 640, 3)
    assert picture.std() > 10


def test_everything_the_api_names_is_there_and_described() -> None:
    for name in api.__all__:
        assert getattr(api, name, None) is not None, name
    assert "Raises InputError" in (api.animate.__doc__ or "")


def test_a_wrong_head_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(api.InputError, match=r"none\.glb"):
        api.prepare_avatar(tmp_path / "none.glb")


def test_animate_rigged_puts_recorded_weights_into_a_rigged_head(tmp_path: Path) -> None:
    document = GltfDocument("a test")
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], dtype="<f4")
    target = document.add_target(3, np.array([2]), np.array([[0, 1, 0]]), None)
    position, indices = document.add_array(points, bounds=True), document.add_indices(np.array([[0, 1, 2]]))
    primitive = {"attributes": {"POSITION": position}, "indices": indices, "targets": [target, target]}
    names = {"targetNames": ["jawOpen", "eyeBlinkLeft"]}
    document.json |= {"meshes": [{"primitives": [primitive], "extras": names}], "nodes": [{"mesh": 0}]}
    (tmp_path / "rigged.glb").write_bytes(document.to_glb())
    rows = ["Timecode,BlendShapeCount,EyeBlinkLeft,JawOpen", "00:00:00:00.0,61,0.25,0.5", "00:00:00:01.0,61,0.75,1.0"]
    (tmp_path / "face.csv").write_text("\n".join(rows) + "\n")
    command = [sys.executable, str(EXAMPLES / "animate_rigged.py"), "rigged.glb", "face.csv", "animated.glb"]
    environment = os.environ | {"PYTHONPATH": str(EXAMPLES.parent)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    gltf = read_gltf_file(tmp_path / "animated.glb")
    sampler = gltf.json["animations"][0]["samplers"][0]
    np.testing.assert_allclose(gltf.accessor(sampler["output"])[:, 0], [0.5, 0.25, 1.0, 0.75])
    assert gltf.accessor(sampler["input"]).shape == (2, 1)
