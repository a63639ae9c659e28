"""C that is compiled on the user's machine, for its very processor: `compiled_library`; the C lies with its users. And
which cores there are to run it: `cores`."""
