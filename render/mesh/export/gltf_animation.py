"""An animation in a glTF document whose meshes have named shapes: tracks of weights, and the head as a moving node."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from render.mesh.export.gltf_document import GltfDocument
from render.mesh.export.shape_animation import ShapeAnimation, turns_and_shifts

_HEAD = "head_motion"


def add_animation(document: GltfDocument, animation: ShapeAnimation, name: str, linear: NDArray[np.float64]) -> None:
    """Append an animation: keys at the animation's own times, linear between them.

    Every mesh that names its shapes (`extras.targetNames`) gets a track of weights, with zeros for shapes that the
    animation does not name. The head's motion is that of a new node above all others of the scene.

    Args:
        linear: [3, 3] from the file's coordinates to those of the scene (the identity for a glTF file edited in place).

    Raises InputError where the document has no scene.
    """
    times = document.add_array(animation.times_s.astype("<f4"), None, bounds=True)
    channels: list[dict[str, Any]] = []
    samplers: list[dict[str, Any]] = []

    def track(node: int, path: str, values: NDArray[np.float32]) -> None:
        output = document.add_array(values, None)
        samplers.append({"input": times, "interpolation": "LINEAR", "output": output})
        channels.append({"sampler": len(samplers) - 1, "target": {"node": node, "path": path}})

    column = {shape: number for number, shape in enumerate(animation.names)}
    for number, node in enumerate(document.entries("nodes")):
        names = _shapes_of(document, node)
        used = [(at, column[shape]) for at, shape in enumerate(names) if shape in column]
        if not used:
            continue
        weights = np.zeros((len(animation.times_s), len(names)), dtype="<f4")
        weights[:, [at for at, _ in used]] = animation.weights[:, [of for _, of in used]]
        track(number, "weights", weights.reshape(-1))
    if animation.T_file_head is not None:
        head = _over_all(document)
        turns, shifts = turns_and_shifts(animation.T_file_head, linear)
        track(head, "rotation", turns)
        track(head, "translation", shifts)
    if channels:
        document.add("animations", {"name": name, "samplers": samplers, "channels": channels})


def _shapes_of(document: GltfDocument, node: dict[str, Any]) -> list[str]:
    if "mesh" not in node:
        return []
    mesh = document.json["meshes"][node["mesh"]]
    return list((mesh.get("extras") or {}).get("targetNames", []))


def _over_all(document: GltfDocument) -> int:
    """A new node above all that the document's scene shows."""
    scenes = document.json.get("scenes", [])
    if not scenes:
        raise InputError("the head's file has no scene that could move; export it again")
    scene = scenes[document.json.get("scene", 0)]
    head = document.add("nodes", {"name": _HEAD, "children": list(scene.get("nodes", []))})
    if not document.json["nodes"][head]["children"]:
        del document.json["nodes"][head]["children"]
    scene["nodes"] = [head]
    return head
