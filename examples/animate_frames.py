"""Drive a head with a recording (or the built-in performer) and read what it does, in ten lines.

python examples/animate_frames.py                      the built-in performer
python examples/animate_frames.py clip.mp4 head.glb    your own
"""

import sys
from itertools import islice

from PIL import Image

from realtime.api import AvatarPictures, animate, open_source, prepare_avatar

clip, head = sys.argv[1:] if len(sys.argv) == 3 else ("demo", "lowpoly")
avatar = prepare_avatar(head)
source = open_source(clip, realtime=False)
with AvatarPictures(avatar, (640, 480)) as pictures:
    for shown in islice(animate(avatar, source), 0, 300, 30):
        strongest = sorted(shown.unit_weights.items(), key=lambda item: -abs(item[1]))[:3]
        words = ", ".join(f"{name} {weight:.2f}" for name, weight in strongest)
        print(f"{shown.pose.timestamp_s:.2f} s  {shown.pose.vertices.shape[0]} vertices  {words}")
    Image.fromarray(pictures.take(shown.pose)).save("animated.png")
