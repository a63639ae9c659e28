"""The network: encoder, generators, checkpoints, and the live graph that is left for one avatar (`motion_network`).

Start with `network` and `config`. Training is `engine.training`.
"""
