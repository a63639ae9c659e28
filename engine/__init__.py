"""From a tracked face to an avatar's pose: what all engines share (`motion`) and one room for each kind.

Start with `motion.protocol`. `open_flow` chooses among the flow engines; `realtime.engines` among all.
"""
