"""Where frames of a driver come from, and where the face is in them: `cameras`, `recordings`, `face`, and the
`synthetic` head that stands in for a person.

Start with `open_source`, which turns `--device` into a source; `core.source` has the protocol. A new camera or
recording is a file in its room and a line there.
"""
