"""Data, training and judging of the expression prior.

Start with `expression_train`.
"""
