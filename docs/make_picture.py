"""Makes the picture that opens the README: the built-in performer beside the three built-in heads she drives.

python docs/make_picture.py docs/images/driver_and_avatar.jpg
"""

import sys
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from calib.avatar import prepare_avatar
from calib.framing import avatar_view
from capture.face.face_tracker import FaceTracker
from capture.synthetic import BUILTIN_AVATARS, builtin_avatar_path
from capture.synthetic.performer.performer import PerformerSource
from core.frame import FaceObservation
from core.source import frames_of
from engine.expression.expression_engine import ExpressionEngine
from render.window.viewer import Viewer

SHOWN = (755, 1025, 1120, 1212)  # frames: smiling, surprised, puckered, scowling
SIZE = 400


def observe(until: int) -> list[FaceObservation]:
    with FaceTracker() as tracker:
        return [tracker.track(frame) for frame in islice(frames_of(PerformerSource(realtime=False)), until + 1)]


def main() -> None:
    observations = observe(max(SHOWN))
    columns = [[observations[index].frame.rgb[40:360, 160:480] for index in SHOWN]]
    for name in BUILTIN_AVATARS:
        avatar = prepare_avatar(builtin_avatar_path(name))
        engine, pictures = ExpressionEngine(avatar), []
        engine.calibrate(observations[0])
        with Viewer(avatar.display_mesh, (SIZE, SIZE), headless=True, intrinsics=avatar_view(avatar)) as viewer:
            for observation in observations:
                pose = engine.animate(observation)
                if pose.index in SHOWN:
                    viewer.show(pose.vertices, pose.T_world_head, None, "")
                    pictures.append(viewer.read_rgb())
        columns.append(pictures)
    rows = [[np.asarray(Image.fromarray(picture).resize((SIZE, SIZE))) for picture in column] for column in columns]
    sheet = np.vstack([np.hstack(row) for row in rows])
    Image.fromarray(sheet).resize((sheet.shape[1] // 2 * 3 // 2, sheet.shape[0] // 2 * 3 // 2)).save(
        Path(sys.argv[1]), quality=88
    )


if __name__ == "__main__":
    main()
