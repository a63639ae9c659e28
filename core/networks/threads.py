"""How many threads networks take, in one place.

The face landmarker's networks are small: a second thread makes them little faster and takes a core from drawing, which
is busy at the same time. They run on the thread that asks, the inference thread of a session.
"""

FACE_NETWORK_THREADS = 1
