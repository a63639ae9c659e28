"""Damaged files by the thousand: every loader answers with a result or with one clear line."""
