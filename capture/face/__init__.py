"""The driver's face in a frame: the landmarker, lifting to metres, head pose, and the cuts that networks see.

Start with `face_tracker`. Landmarks found on avatars are `calib.survey`.
"""
