"""Meshes without OpenGL: reading and writing OBJ, PLY and glTF, topology, normals, simplification, and how surfaces
look.

Start with `mesh_io`, which reads any of them; one format is one file beside it.
"""
