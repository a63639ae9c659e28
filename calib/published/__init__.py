"""The published controllers, weights and Basel Face Model heads (arXiv 2308.06076), beside this project's own.

Start with `published_weights`.
"""
