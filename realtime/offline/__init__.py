"""`vfa animate`: runs without a clock. The `run` itself, the `neutral` it is relative to, the `panels` that it shows.

Start with `run`. Options, and putting the parts together, are in `realtime.offline_commands`.
"""
