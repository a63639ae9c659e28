"""What every network that is compiled for this machine shares: the cache of compiled networks, and the door to
OpenVINO. What a network computes is the business of whoever runs it.

Start with `openvino`.
"""
