"""Data, losses and stages of the flow networks: preprocessed clips as published, and rendered pairs with truth.

Start with `stages`; `make_pairs` renders, `preprocess` cuts recordings.
"""
