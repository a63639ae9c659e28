"""Training networks and the expression prior: the `loop` all share, what is learned of `flow`, and of `expression`.

Start with `run`, which is `vfa train`. The rest of `engine` never imports from here.
"""
