"""What an engine gets of a prepared avatar: controllers, weights, lids, lips, jaw, eyes and expression units, as plain
data.

Start with `face_rig`. How these are worked out is `calib.rigging`.
"""
