"""Changing a head's mesh so that it can move: finer triangles, lips and lids cut apart, a mouth's inside, eyeballs.

Start with `remesh`, whose `WorkMesh` all of them change, and `seams`.
"""
