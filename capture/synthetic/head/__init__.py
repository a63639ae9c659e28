"""A parametric CC0 head: identity sliders and 52 expression units make vertices, a palette makes colours.

Start with `head_model`; `head_topology` says which vertices there are, `head_data` reads the shipped arrays.
"""
