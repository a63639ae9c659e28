"""The default engine: a learned prior names what the face does in 52 units, the avatar does the same.

Start with `expression_engine`; `expression_prior` is the network, `expression_features` what it looks at.
"""
