"""What the avatar does, sent to other programs while it does it.

Here belong: one file a protocol, which turns a `FaceMotion` into packets and knows no socket (`vmc.py`, `live_link.py`,
`ifacialmocap.py`, `open_see_face.py`, `script_json.py`), the places they go to (`target.py`, `greeted_target.py`,
`websocket_target.py`), what `--send` is given (`address.py`), and the thread that serves all of them (`sender.py`, to
be opened first). Not here: reading what others send (`capture.phones` for phones, `realtime.listening` to look at it).
"""
