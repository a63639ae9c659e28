"""A prepared head as a rig for other programs: its shapes as live shows them, what is doubtful about them, a sheet of
pictures, and shapes that an artist gives back.

Start with `head_shapes`. How files are written is `render.mesh.export`'s business.
"""
