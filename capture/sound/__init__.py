"""Microphones: their sound in blocks that know when they were heard, on the clock of the frames.

Start with `microphone`. Writing it to disk is `realtime.recording`'s.
"""
