"""TODO tools.assets."""
