"""The live session: one thread captures, one infers, the main thread shows.

Start with `session`; `pipeline` is one frame's way, `person` who drives.
"""
