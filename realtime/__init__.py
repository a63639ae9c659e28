"""The commands `vfa-live` and `vfa`: options, choosing an engine, offline runs; `live` sessions, `recording`,
`threads`.

Start with `cli`. `api` is what other programs may rely on.
"""
