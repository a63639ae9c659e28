"""The face landmarker's three networks (detector, landmarks, coefficients) and the steps between them, run by OpenVINO
with this project's own steps, or by MediaPipe, which is the reference.

Streams, windows and which of several faces is followed are `capture.face`. Start with `answers` and `select`.
"""
