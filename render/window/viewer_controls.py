"""What keys and mouse do to the viewer: the camera moves, display options change, commands go out."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from core.camera import OrbitCamera


class ViewerCommand(Enum):
    """What the user asks of whoever runs the viewer."""

    NEUTRAL = "neutral"  # take the next good frame as the neutral face
    RANGE = "range"  # ask the driver for the range of motion
    NEXT_FACE = "next_face"  # follow another of several faces
    PAUSE = "pause"  # stop or go on following the driver
    RECORD = "record"  # start or stop recording
    SCREENSHOT = "screenshot"
    HEAD_POSE = "head_pose"  # follow the driver's head, or hold the avatar's still
    MIRROR = "mirror"  # done by the viewer already; told so that it can be kept
    QUIT = "quit"


_COMMAND_KEYS = {
    "N": ViewerCommand.NEUTRAL,
    "G": ViewerCommand.RANGE,
    "F": ViewerCommand.NEXT_FACE,
    "SPACE": ViewerCommand.PAUSE,
    "V": ViewerCommand.RECORD,
    "X": ViewerCommand.SCREENSHOT,
    "B": ViewerCommand.HEAD_POSE,
    "M": ViewerCommand.MIRROR,
    "ESCAPE": ViewerCommand.QUIT,
}
_ONE_STEP = math.radians(3.0)
_ORBIT_KEYS = {"A": (-1, 0), "D": (1, 0), "W": (0, 1), "S": (0, -1)}
_ZOOM_KEYS = {"Q": 1.05, "E": 1 / 1.05}
_SHIFT_KEYS = {
    "LEFT": (-1, 0, 0),
    "RIGHT": (1, 0, 0),
    "UP": (0, 1, 0),
    "DOWN": (0, -1, 0),
    "PAGE_UP": (0, 0, 1),
    "PAGE_DOWN": (0, 0, -1),
}
_SHIFT = 0.02  # avatar units
_RADIANS_PER_UNIT = math.radians(0.4)  # of mouse movement
_ZOOM_PER_NOTCH = 1.1

KEY_HELP = [
    ("N", "take your face as neutral"),
    ("G", "show how far your face goes (10 s)"),
    ("F", "follow another face"),
    ("Space", "pause, go on"),
    ("V", "record, stop recording"),
    ("X", "save a screenshot"),
    ("B", "head follows you, or stays"),
    ("M", "mirror"),
    ("A D W S", "camera around the head"),
    ("Q E", "camera nearer, farther"),
    ("Arrows, PgUp PgDn", "move the head"),
    ("Drag, right drag, wheel", "orbit, pan, zoom"),
    ("R", "camera back to its start"),
    ("P", "print the camera's options"),
    ("I", "hide or show status and driver"),
    ("Ctrl drag", "move a window without borders"),
    ("H", "this help"),
    ("Esc", "quit"),
]


@dataclass
class ViewerControls:
    """State that keys and mouse change. Needs no window: keys go by name, such as "N" or "PAGE_UP"."""

    camera: OrbitCamera = field(default_factory=OrbitCamera)
    mirror: bool = False
    show_keys: bool = False
    show_hud: bool = True
    changed: bool = True  # what is shown is no longer up to date
    print_camera: bool = False  # the camera line is wanted
    keys: deque[str] = field(default_factory=lambda: deque(maxlen=64))  # pressed, by name; for whoever reads them
    clicks: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=64))
    """Left clicks without dragging: place in the picture, 0 to 1 from its left and its top."""
    said: deque[str] = field(default_factory=lambda: deque(maxlen=8))
    """What a key did, in words, where that is not to be seen at once."""
    _commands: list[ViewerCommand] = field(default_factory=list)
    _drag: str | None = None

    def take_commands(self) -> list[ViewerCommand]:
        """The commands since the last call, oldest first."""
        commands, self._commands = self._commands, []
        return commands

    def quit(self) -> None:
        """The window was closed."""
        if ViewerCommand.QUIT not in self._commands:
            self._commands.append(ViewerCommand.QUIT)

    def press(self, key: str, *, again: bool = False) -> None:
        """A key went down; `again` while it is held: then only the camera moves on."""
        if self._move_camera(key):
            self.changed = True
        elif not again:
            self.keys.append(key)
            self._switch(key)

    def _move_camera(self, key: str) -> bool:
        if key in _ORBIT_KEYS:
            right, up = _ORBIT_KEYS[key]
            self.camera.orbit(self._side * right * _ONE_STEP, up * _ONE_STEP)
        elif key in _ZOOM_KEYS:
            self.camera.zoom(_ZOOM_KEYS[key])
        elif key in _SHIFT_KEYS:
            right, up, nearer = _SHIFT_KEYS[key]
            self.camera.shift(_SHIFT * np.array([self._side * right, up, nearer], dtype=np.float64))
        elif key == "R":
            self.camera.reset()
            self.said.append("camera back at its start")
        else:
            return False
        return True

    def _switch(self, key: str) -> None:
        command = _COMMAND_KEYS.get(key)
        if command is not None:
            self._commands.append(command)
        if key == "M":
            self.mirror = not self.mirror
        elif key in ("H", "F1"):
            self.show_keys = not self.show_keys
        elif key == "I":
            self.show_hud = not self.show_hud
            self.said.append("status and driver shown" if self.show_hud else "status and driver hidden; I shows them")
        elif key == "P":
            self.print_camera = True
        elif command is None:
            return
        self.changed = True

    @property
    def _side(self) -> int:
        """-1 while the picture is mirrored, so that what is dragged still goes where the hand goes."""
        return -1 if self.mirror else 1

    def grab(self, button: str | None, *, shift: bool = False) -> None:
        """A mouse button ("left", "right", "middle") went down, or (None) it was let go."""
        self._drag = None if button is None else "orbit" if button == "left" and not shift else "pan"

    def drag(self, right: float, down: float, world_per_unit: float) -> None:
        """The mouse moved by so many window units, one of which spans `world_per_unit` at the head."""
        if self._drag == "orbit":
            self.camera.orbit(-self._side * right * _RADIANS_PER_UNIT, down * _RADIANS_PER_UNIT)
        elif self._drag == "pan":
            self.camera.pan(self._side * right * world_per_unit, -down * world_per_unit)
        else:
            return
        self.changed = True

    def click(self, x: float, y: float) -> None:
        """A left click without dragging, at a share of the picture's width and height."""
        self.clicks.append((1.0 - x if self.mirror else x, y))
        self.changed = True

    def scroll(self, notches: float) -> None:
        """The wheel turned; upwards is positive and comes nearer."""
        self.camera.zoom(_ZOOM_PER_NOTCH ** min(max(notches, -20.0), 20.0))
        self.changed = True
