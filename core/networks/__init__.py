"""What every network that is compiled for this machine shares: the cache of compiled networks, the door to OpenVINO,
and how many threads inference takes. What a network computes is the business of whoever runs it.

Start with `openvino`.
"""
