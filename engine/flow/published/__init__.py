"""The engine of the published network, with its controllers and loops, exact.

Start with `flow_engine`.
"""
