"""Live cameras (Kinect, Record3D, webcams), what keeps them alive, and what holds them to their contract.

Start with `device`, the protocol of a camera without patience, and `reconnecting`, which adds it; then one camera's
file.
"""
