"""C that is compiled on the user's machine, for its very processor: `compiled_library`. The C lies with its users."""
