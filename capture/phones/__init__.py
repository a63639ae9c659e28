"""What phones send that track the face themselves: packets of motion instead of pictures.

Here belong: what their packets hold (`live_link.py`, to be opened first, and `ifacialmocap.py`: bytes to a motion, and
nothing else). Packets come from a network: every reader checks sizes and numbers, and refuses with
`DamagedPacketError`. Not here: phones whose pictures we track ourselves (`capture.cameras`), and sending in these
formats (`realtime.outputs`)."""
