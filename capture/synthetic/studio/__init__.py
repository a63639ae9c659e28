"""Ground-truth RGBD clips of random people, for training and judging (`vfa synth`).

Start with `clip_studio`; `clip_options` says what can be asked for, `clip_plan` decides what happens in a clip,
`people` who it happens to.
"""
