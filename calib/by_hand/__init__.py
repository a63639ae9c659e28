"""Placing landmarks by clicking, for heads that are not human (`vfa prepare --place-landmarks`).

Start with `placing_window`; the file of landmarks itself is read in `calib.survey.hand_landmarks`.
"""
