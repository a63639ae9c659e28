"""The face landmarker's three networks (detector, landmarks, coefficients) and the steps between them: by kernels of
this project's own, by OpenVINO, or by MediaPipe, which is the reference.

Streams, windows and which of several faces is followed are `capture.face`. Start with `answers`, `select`, `compiled`.
"""
