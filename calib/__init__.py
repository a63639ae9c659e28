"""From any head file to an avatar that can be driven (`rig`, `survey`, `surgery`, `rigging`), from a person's face to
calibration (`person`), landmarks placed `by_hand`, and the `published` way.

Start with `avatar`: `prepare_avatar` goes through the rooms in this order, or takes the result from the cache.
"""
