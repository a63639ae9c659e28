"""Put recorded ARKit weights into a rigged head as an animation that any glTF viewer plays.

python examples/animate_rigged.py rigged.glb face.csv animated.glb

rigged.glb comes from `vfa rig`, with any --eyes; face.csv has a row for each frame and a column for each unit, as Live
Link Face writes it (`Timecode,BlendShapeCount,EyeBlinkLeft,…`, 60 frames a second).
"""

import csv
import sys
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from realtime.rig.eye_nodes import EYE_MARK
from render.mesh.export.gltf_document import GltfDocument
from render.mesh.gltf_buffers import read_gltf_file

FRAMES_PER_SECOND = 60.0

rigged, table, out = map(Path, sys.argv[1:4])
with table.open(newline="") as file:
    rows = [{name.lower(): value for name, value in row.items() if name} for row in csv.DictReader(file)]
document = GltfDocument.of(read_gltf_file(rigged))
seconds = (np.arange(len(rows)) / FRAMES_PER_SECOND).astype("<f4")
times = document.add_array(seconds, None, bounds=True)
channels, samplers = [], []
for number, node in enumerate(document.json["nodes"]):
    mesh = document.json["meshes"][node["mesh"]] if "mesh" in node else {}
    names = (mesh.get("extras") or {}).get("targetNames", [])
    if names:
        weights = np.array([[float(row.get(name.lower(), 0) or 0) for name in names] for row in rows], dtype="<f4")
        samplers.append({"input": times, "output": document.add_array(weights.reshape(-1), None)})
        channels.append({"sampler": len(samplers) - 1, "target": {"node": number, "path": "weights"}})
    if turns := (node.get("extras") or {}).get(EYE_MARK):  # an eyeball that turns by itself
        angles = np.zeros((len(rows), 2))  # about y, then about x
        for unit, (axis, degrees) in turns.items():
            angles[:, "yx".index(axis)] += [degrees * float(row.get(unit.lower(), 0) or 0) for row in rows]
        at_rest = Rotation.from_quat(node.get("rotation", [0.0, 0.0, 0.0, 1.0]))
        turned = (at_rest * Rotation.from_euler("YX", angles, degrees=True)).as_quat().astype("<f4")
        samplers.append({"input": times, "output": document.add_array(turned, None)})
        channels.append({"sampler": len(samplers) - 1, "target": {"node": number, "path": "rotation"}})
document.add("animations", {"name": table.stem, "samplers": samplers, "channels": channels})
out.write_bytes(document.to_glb())
print(f"{out}: {len(rows)} frames, {len(channels)} meshes and eyes")
