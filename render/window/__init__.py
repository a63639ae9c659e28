"""What a person sees and touches: the viewer, its keys and mouse, and the overlays on the picture.

Start with `viewer`.
"""
