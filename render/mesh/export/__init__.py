"""Heads with their shapes into files of other programs: glTF edited in place or made anew, USD, one OBJ per shape.

What is written is a `RiggedMesh`, the only thing that the formats share; how its shapes came about is nobody's business
here. Start with `rigged_mesh`; one format is one file beside it, and both ways to a .glb stand on `gltf_document`.
"""
