"""The live session: one thread captures, one infers, the main thread shows.

Start with `session`, which wires `capture_loop`, `inference_loop` and `show_loop`; `pipeline` is one frame's way, here
and offline, `person` who drives.
"""
