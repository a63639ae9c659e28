"""What is known of the person before the camera: the neutral face, the range of motion, and the profile that keeps
both.

Start with `neutral`.
"""
