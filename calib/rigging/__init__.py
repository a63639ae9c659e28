"""Working out how a head moves: controllers on its skin, weights by one solve, expression units carried from the
template.

Start with `assemble`, which puts mesh and rig together.
"""
