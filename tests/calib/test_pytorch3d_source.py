"""PyTorch3D's picture of the golden avatar, where it is installed; what is said where it is not."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from calib.published.pytorch3d_source import pytorch3d_rgbd
from core.camera import PUBLISHED_INTRINSICS, look_at
from core.errors import InputError
from core.mesh import Mesh

TRIANGLE = Mesh(
    np.array([[-0.3, -0.3, 0], [0.3, -0.3, 0], [0, 0.3, 0]], np.float32),
    np.array([[0, 1, 2]], np.int32),
    vertex_colors=np.ones((3, 3), np.float32),
)
INSTALLED = importlib.util.find_spec("pytorch3d") is not None


@pytest.mark.skipif(not INSTALLED, reason="PyTorch3D is not installed")
def test_golden_avatar(shared_reference: Path) -> None:
    with np.load(shared_reference / "pipeline.npz", allow_pickle=False) as golden:
        mesh = Mesh(golden["vertices"], golden["faces"], vertex_colors=golden["vertex_colors"])
        picture = pytorch3d_rgbd(mesh, look_at((0.0, 0.0, 8.0)), PUBLISHED_INTRINSICS)
        same = picture.face_id == golden["pix_to_face"]
        assert same.mean() > 0.999
        shown = golden["source_depth"] > 0
        assert np.abs(picture.depth - golden["source_depth"])[shown & same].max() < 1e-3
        apart = np.abs(picture.rgb.astype(int) - golden["source_bgr"][..., ::-1])[same]
        assert apart.mean() < 2


@pytest.mark.skipif(INSTALLED, reason="PyTorch3D is installed")
def test_without_it_one_line_says_so() -> None:
    with pytest.raises(InputError, match="PyTorch3D is not installed") as caught:
        pytorch3d_rgbd(TRIANGLE, look_at((0.0, 0.0, 8.0)), PUBLISHED_INTRINSICS)
    assert "\n" not in str(caught.value)


def test_a_mesh_without_colors_is_refused() -> None:
    plain = Mesh(TRIANGLE.vertices, TRIANGLE.faces)
    with pytest.raises(InputError, match="vertex colours"):
        pytorch3d_rgbd(plain, look_at((0.0, 0.0, 8.0)), PUBLISHED_INTRINSICS)
