"""The avatar's picture as PyTorch3D takes it, for those who have it: the published code's own renderer.

An optional twin of `render.gl.rgbd.render_rgbd` with the same call. PyTorch3D has no Linux wheel, so this has never run
in this project's own tests; they check it against the published pictures wherever it is installed.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.camera import Intrinsics
from core.errors import InputError
from core.mesh import Mesh
from render.gl.rgbd import RgbdPicture

_AMBIENT, _DIFFUSE = 0.5, 0.5


def pytorch3d_rgbd(mesh: Mesh, T_camera_world: NDArray[np.float64], intrinsics: Intrinsics) -> RgbdPicture:
    """One RGBD picture under the published light: far on +z, 0.5 ambient + 0.5 diffuse, black behind, stretched.

    Raises InputError without PyTorch3D, and for a mesh without vertex colours.
    """
    from calib.published.bfm import vertex_normals

    colors = mesh.vertex_colors
    if colors is None:
        raise InputError("--source-renderer pytorch3d: expected vertex colours, the mesh has none; use moderngl")
    fragments = _rasterized(mesh, T_camera_world, intrinsics)
    face_id = fragments.pix_to_face[0, ..., 0].numpy().astype(np.int32)  # one mesh: its own numbers
    bary = fragments.bary_coords[0, :, :, 0].numpy().astype(np.float32)
    shown = face_id >= 0
    corners = mesh.faces[np.maximum(face_id, 0)]  # [H, W, 3]
    normals = vertex_normals(mesh.vertices.astype(np.float64), mesh.faces)
    lit = _AMBIENT + _DIFFUSE * np.clip(normals[:, 2:], 0.0, None)
    shade = np.einsum("hwk,hwkc->hwc", bary, (colors * lit)[corners]) * shown[..., None]
    rgb = np.clip(shade / max(float(shade.max()), 1e-6), 0.0, 1.0) * 255.0
    depth = np.where(shown, fragments.zbuf[0, ..., 0].numpy(), 0.0).astype(np.float32)
    return RgbdPicture(rgb.astype(np.uint8), depth, face_id, lambda: bary * shown[..., None])


def _rasterized(mesh: Mesh, T_camera_world: NDArray[np.float64], intrinsics: Intrinsics) -> Any:
    try:
        import torch
        from pytorch3d.renderer import MeshRasterizer, PerspectiveCameras, RasterizationSettings
        from pytorch3d.structures import Meshes
    except ImportError as error:
        raise InputError(
            "--source-renderer pytorch3d: PyTorch3D is not installed; build it as its own site says, or use moderngl"
        ) from error
    flip = np.diag([-1.0, -1.0, 1.0])  # its view axes are x left, y up; and it multiplies row vectors
    rotation = torch.tensor((flip @ T_camera_world[:3, :3]).T[None], dtype=torch.float32)
    translation = torch.tensor((flip @ T_camera_world[:3, 3])[None], dtype=torch.float32)
    size = (intrinsics.height, intrinsics.width)
    cameras = PerspectiveCameras(
        focal_length=((intrinsics.fx, intrinsics.fy),),
        principal_point=((intrinsics.cx, intrinsics.cy),),
        R=rotation,
        T=translation,
        image_size=(size,),
        in_ndc=False,
    )
    settings = RasterizationSettings(image_size=size, blur_radius=0.0, faces_per_pixel=1)
    shape = Meshes([torch.from_numpy(mesh.vertices)], [torch.from_numpy(mesh.faces.astype(np.int64))])
    return MeshRasterizer(cameras=cameras, raster_settings=settings)(shape)
