"""A minute of acting, and the device that plays it (`--device demo`).

Start with `performer`; `script` says what happens when.
"""
