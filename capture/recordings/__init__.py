"""Recordings as sources: colour video, RGBD pairs and folders, Kinect `.mkv`, Record3D `.r3d`, and the camera they
had.

Start with `playback`; one format is one file.
"""
