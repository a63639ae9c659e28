"""Shapes registered with a VRM avatar's expressions, so that programs that speak of those move them."""

from __future__ import annotations

from typing import Any

from render.mesh.export.gltf_document import GltfDocument

VRM_PRESETS = (
    "happy", "angry", "sad", "relaxed", "surprised", "aa", "ih", "ou", "ee", "oh", "blink", "blinkLeft", "blinkRight",
    "lookUp", "lookDown", "lookLeft", "lookRight",
)  # fmt: skip
"""Of VRM 1.0, without the neutral one: https://github.com/vrm-c/vrm-specification, VRMC_vrm-1.0, expressions."""
_OLD_PRESETS = {
    "happy": "joy", "angry": "angry", "sad": "sorrow", "relaxed": "fun", "aa": "a", "ih": "i", "ou": "u", "ee": "e",
    "oh": "o", "blink": "blink", "blinkLeft": "blink_l", "blinkRight": "blink_r", "lookUp": "lookup",
    "lookDown": "lookdown", "lookLeft": "lookleft", "lookRight": "lookright",
}  # fmt: skip


def register_expressions(document: GltfDocument, names: tuple[str, ...]) -> int:
    """Let a .vrm's expressions (1.0) or blend shape groups (0.x) of these names move the shapes of these names.

    Expressions that the file has already, and that do something, stay as they are. Returns how many are new; 0 for
    files that are no VRM.
    """
    extensions = document.json.get("extensions", {})
    if "VRMC_vrm" in extensions:
        return _expressions(document, extensions["VRMC_vrm"], names)
    if "VRM" in extensions:
        return _groups(document, extensions["VRM"], names)
    return 0


def _places(document: GltfDocument, name: str) -> list[tuple[int, int, int]]:
    """(node, mesh, number of the target) wherever the shape of that name is."""
    meshes = document.json["meshes"]
    found = []
    for number, node in enumerate(document.json["nodes"]):
        names = (meshes[node["mesh"]].get("extras") or {}).get("targetNames", []) if "mesh" in node else []
        if name in names:
            found.append((number, node["mesh"], names.index(name)))
    return found


def _expressions(document: GltfDocument, vrm: dict[str, Any], names: tuple[str, ...]) -> int:
    expressions = vrm.setdefault("expressions", {})
    added = 0
    for name in names:
        kind = expressions.setdefault("preset" if name in VRM_PRESETS else "custom", {})
        if any(kind.get(name, {}).get(f"{what}Binds") for what in ("morphTarget", "materialColor", "textureTransform")):
            continue
        binds = [{"node": node, "index": index, "weight": 1.0} for node, _, index in _places(document, name)]
        kind[name] = {**kind.get(name, {}), "morphTargetBinds": binds}
        added += 1
    return added


def _groups(document: GltfDocument, vrm: dict[str, Any], names: tuple[str, ...]) -> int:
    groups = vrm.setdefault("blendShapeMaster", {}).setdefault("blendShapeGroups", [])
    added = 0
    for name in names:
        preset = _OLD_PRESETS.get(name, "unknown") if name in VRM_PRESETS else "unknown"
        same = [g for g in groups if (g.get("presetName") == preset if preset != "unknown" else g.get("name") == name)]
        if any(group.get("binds") or group.get("materialValues") for group in same):
            continue
        binds = [{"mesh": mesh, "index": index, "weight": 100.0} for _, mesh, index in _places(document, name)]
        entry = {"name": name, "presetName": preset, "binds": binds, "materialValues": [], "isBinary": False}
        if same:
            same[0]["binds"] = binds
        else:
            groups.append(entry)
        added += 1
    return added


def is_vrm(content: dict[str, Any]) -> bool:
    """Whether a glTF file's JSON is that of a VRM avatar, 1.0 or 0.x."""
    return bool(content.get("extensions", {}).keys() & {"VRMC_vrm", "VRM"})


def eye_bones(content: dict[str, Any]) -> bool:
    """Whether a glTF file's JSON is that of a VRM avatar whose eyes are bones, and which looks by these."""
    extensions = content.get("extensions", {})
    if "VRMC_vrm" in extensions:
        vrm = extensions["VRMC_vrm"]
        bones = vrm.get("humanoid", {}).get("humanBones", {})
        return bool(bones.keys() & {"leftEye", "rightEye"}) and vrm.get("lookAt", {}).get("type") != "expression"
    old = extensions.get("VRM", {})
    bones = {bone.get("bone") for bone in old.get("humanoid", {}).get("humanBones", [])}
    return bool(bones & {"leftEye", "rightEye"}) and old.get("firstPerson", {}).get("lookAtTypeName") != "BlendShape"
