"""Where the face landmarks lie on the built-in head, looked at on many random people: `data/template_landmarks.npz`.

Run once when the head or the landmark model changes: `python -m tools.assets.make_template_landmarks`.
"""

import numpy as np
from numpy.typing import NDArray

from calib.rigging.template_head import LANDMARK_FILE, outer_faces
from calib.survey.closest import closest_on_faces
from calib.survey.face_finder import FaceFinder
from calib.survey.landmarks import find_landmarks
from calib.survey.placing import place
from calib.survey.views import Studio
from capture.synthetic.head.head_data import load_head_data
from capture.synthetic.head.head_model import HeadModel
from capture.synthetic.head.head_topology import make_topology
from capture.synthetic.head.identity import random_identity
from capture.synthetic.head.palette import Palette
from core.errors import InputError
from core.face_regions import ALL_LANDMARKS
from core.mesh import Mesh

PEOPLE = 60
_SKIN = np.array([0.83, 0.64, 0.53])


def main() -> None:
    """Look at the people and write the file."""
    data, rng = load_head_data(), np.random.default_rng(5)
    topology = make_topology(data)
    faces = outer_faces(data)
    template = data.vertices.astype(np.float64)
    seen, places, bases = [], [], []
    with FaceFinder() as finder:
        for _ in range(PEOPLE):
            red, green, blue = (_SKIN * rng.uniform(0.45, 1.08)).tolist()
            palette = Palette(skin=(red, green, blue), brow_width=float(rng.uniform(0.8, 1.4)))
            model = HeadModel(random_identity(rng, data), palette, data=data, topology=topology)
            landmarks = _landmarks(model.mesh(), finder)
            if landmarks is None:
                continue
            face, bary, _ = closest_on_faces(landmarks, model.base, faces, np.arange(len(faces)))
            seen.append(landmarks)
            bases.append(model.base)
            places.append(np.einsum("nc,ncd->nd", bary, template[faces[face]]))
    face, bary, _ = closest_on_faces(np.median(places, axis=0), template, faces, np.arange(len(faces)))
    vertices = faces[face].astype(np.int32)
    off = [np.einsum("nc,ncd->nd", bary, base[vertices]) - found for base, found in zip(bases, seen, strict=True)]
    spread = np.sqrt((np.linalg.norm(off, axis=2) ** 2).mean(axis=0))
    np.savez(LANDMARK_FILE, vertices=vertices, bary=bary.astype(np.float32), spread_m=spread.astype(np.float32))
    print(f"{len(seen)} of {PEOPLE} people, {ALL_LANDMARKS} landmarks, median spread {np.median(spread) * 1e3:.2f} mm")


def _landmarks(mesh: Mesh, finder: FaceFinder) -> NDArray[np.float64] | None:
    """[478, 3] in the mesh's own coordinates; None where no face was found."""
    with Studio(mesh) as studio:
        used = mesh.vertices[np.unique(mesh.faces)].astype(np.float64)
        try:
            T = place("head", used, studio.look, finder, "y", "z")[0].T_world_file
            landmarks = find_landmarks("head", lambda camera, lens: studio.look(T, camera, lens), finder)
        except InputError:
            return None
    inverse = np.linalg.inv(T)
    return np.asarray(landmarks @ inverse[:3, :3].T + inverse[:3, 3])


if __name__ == "__main__":
    main()
