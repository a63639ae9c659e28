"""What a face did, into files that other programs open: one file of code for each format, each a function of a take.

A `Take` (start with `take`) is what a session or an `animation.npz` holds; `posed` shows an avatar doing it, frame by
frame; `shaped` turns that into shapes and their weights for glTF and USD. Which option leads where is
`realtime.export_command`'s business; how a mesh with shapes is written is `render.mesh.export`'s.
"""
