"""Scripts that keep the house in order. Not in the wheel: nothing that is installed imports from here."""
