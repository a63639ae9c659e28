"""From a tracked face to an avatar's pose: what all engines share (`motion`) and one room for each kind.

Start with `motion.protocol`, what every engine is, and `motion.face_engine`, the skeleton of most. `realtime.engines`
chooses among them.
"""
