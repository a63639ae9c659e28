"""What phones send that track the face themselves: packets of motion instead of pictures.

Here belong: what their packets hold (`live_link.py` and `ifacialmocap.py`: bytes to a motion, and nothing else), the
port they come in by (`port.py`) and the source made of it (`phone_source.py`, to be opened first). Packets come from a
network: every reader checks sizes and numbers, and refuses with `DamagedPacketError`. Not here: phones whose pictures
we track ourselves (`capture.cameras`), and sending in these formats (`realtime.outputs`)."""
