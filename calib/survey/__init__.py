"""Looking at a head: how it stands, its landmarks, its openings, what is skin, what is seen. Nothing is changed here.

Start with `head_survey`.
"""
