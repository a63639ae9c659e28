"""Recordings of a session: what is on the disk within a second, completed after a kill, refused by a full disk.

Start with `recorder`; `recordings` is what a live session holds.
"""
