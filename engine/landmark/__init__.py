"""The engine without anything learned: the avatar's landmarks repeat the displacement of the driver's.

One file.
"""
