"""Heads by other artists, each with its expressions: a file for each kind. `tools.artist_rigs` lists and loads them."""
