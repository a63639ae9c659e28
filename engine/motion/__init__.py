"""What every engine shares: the protocol, the driver's motion against the neutral, head pose, eyes, retargeting to
vertices, what must close, and easing.

Start with `protocol`.
"""
