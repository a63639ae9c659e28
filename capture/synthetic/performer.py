from render.camera import Intrinsics
INTRINSICS = Intrinsics(600.0, 600.0, 320.0, 240.0, 640, 480)
WALL_DEPTH_M = 1.35
