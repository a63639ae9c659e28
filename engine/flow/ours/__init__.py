"""The engine of this project's own networks: an upright cut in, the avatar's own controllers out.

Start with `compact_flow_engine`.
"""
