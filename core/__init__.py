"""The words that every other room uses: errors, cameras and rigid motion, meshes, RGBD frames and what tracking makes
of them, the face's 478 landmarks, and the bounded reading and writing of files.

Nothing here opens a device, draws, or knows an avatar. Start with `frame`, `camera` and `errors`.
"""
