"""What every engine shares: the protocol, the skeleton of engines that watch landmarks, the driver's motion against the
neutral, head pose, eyes, retargeting to vertices, what must close, and easing.

Start with `protocol`, then `face_engine`.
"""
