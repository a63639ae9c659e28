"""What is laid over the picture: a status line, the driver's picture in a corner, a notice, the keys."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from render.gl.render_target import RenderTarget
from render.gl.shader_programs import make_program, set_uniforms
from render.gl.unlocked_gl import copy_box
from render.window.text_panel import Color, line_panel, table_panel

if TYPE_CHECKING:
    import moderngl

_RED: Color = (255, 92, 86)
_AMBER: Color = (255, 190, 92)
_GREEN: Color = (128, 220, 150)
_WORD_COLORS: dict[str, Color] = {
    "rec": _RED,
    "paused": _AMBER,
    "no face": _AMBER,
    "stalled": _AMBER,
    "reconnecting": _AMBER,
    "no device": _RED,
    "waiting first frame": _AMBER,
    "starting": _AMBER,
    "streaming": _GREEN,
}
_ALWAYS = ("rec", "paused", "not recorded")  # said also while the overlays are hidden
_NOTICE_S, _LETTERS_PER_S = 4.0, 20.0
_MOST_NOTICES = 3
_TEXT_PX, _PROMPT_PX = 15, 40
_PROMPT_AT = 0.78  # of the picture's height: below the face
_DRIVER_SHARE = 0.22  # of the picture's width
_DRIVER_MOST_PX = 320


class Hud:
    """Overlays of one context. Texts are drawn anew only when they change."""

    def __init__(self, ctx: moderngl.Context, scale: float = 1.0) -> None:
        self._ctx = ctx
        self._plain = make_program(ctx, "overlay", "overlay", frozenset())
        self._round = make_program(ctx, "overlay", "overlay", frozenset({"ROUNDED"}))
        self._arrays = {program: ctx.vertex_array(program, []) for program in (self._plain, self._round)}
        self._textures: dict[str, moderngl.Texture] = {}
        self._drawn: dict[str, object] = {}
        self._driver: NDArray[np.uint8] | None = None
        self._status = ""
        self._notices: list[tuple[str, float]] = []  # with the time at which it goes
        self._prompt = ""
        self.scale = scale
        self.visible = True
        self.silent = False  # nothing but what the user asks for: keys, and prompts of what to do now
        self.keys: list[tuple[str, str]] | None = None  # the table of keys, while it is shown

    def set_status(self, text: str) -> None:
        """The line at the bottom; words are separated by a middle dot. Empty: none."""
        self._status = text

    def set_driver(self, rgb: NDArray[np.uint8] | None) -> None:
        """The driver's picture [h, w, 3] uint8, or None."""
        self._driver = rgb

    def set_prompt(self, text: str) -> bool:
        """What the person should do now, large and in the middle. Empty: nothing. Whether that is something new."""
        new, self._prompt = text != self._prompt, text
        return new

    def notify(self, text: str) -> None:
        """Show a line for a few seconds, longer ones for longer; up to three stand over one another."""
        until_s = time.monotonic() + _NOTICE_S + len(text) / _LETTERS_PER_S
        others = [notice for notice in self._notices if notice[0] != text]
        self._notices = [*others, (text, until_s)][-_MOST_NOTICES:]

    @property
    def notice_is_over(self) -> bool:
        """Whether a notice that is still on the screen should go."""
        now_s = time.monotonic()
        return any(now_s > until_s for _, until_s in self._notices)

    def end_notices(self) -> None:
        """Show those no longer whose time is over."""
        now_s = time.monotonic()
        self._notices = [notice for notice in self._notices if now_s <= notice[1]]

    def draw(self, onto: moderngl.Framebuffer, scene: RenderTarget, *, mirror: bool, turned: bool) -> None:
        """Show `scene`, which fills `onto`, and everything over it; `turned`: rows of `onto` count from below, as those
        of a window do."""
        size = scene.size
        where: dict[str, object] = {"size": size, "upwards": -1.0 if turned else 1.0}
        self._ctx.enable_only(0)
        if mirror or not copy_box(self._ctx, onto, scene.framebuffer, (0, 0, *size), turned=turned):
            onto.use()
            self._lay(self._plain, scene.texture, (0, 0, *size), mirrored=float(mirror), **where)
        else:
            onto.use()
        self.end_notices()
        self._ctx.enable_only(self._ctx.BLEND)
        self._ctx.blend_func = self._ctx.ONE, self._ctx.ONE_MINUS_SRC_ALPHA
        margin = round(16 * self.scale)
        if self.visible:
            self._draw_driver(size, margin, mirror, where)
        words = _words(self._status)
        lines = [("status", words if self.visible else [word for word in words if word.lower() in _ALWAYS])]
        notices = self._notices[-1:] if self._prompt else self._notices[::-1]
        lines += [(f"notice{number}", _words(text)) for number, (text, _) in enumerate(notices)]
        bottom = size[1] - margin
        for name, line in [] if self.silent else lines:
            bottom = self._draw_line(name, line, size, margin, bottom, where)
        if self._prompt and not self.keys:
            self._draw_prompt(size, margin, bottom, where)
        if self.keys:
            self._draw_keys(size, where)
        self._ctx.enable_only(0)

    def _lay(
        self, program: moderngl.Program, texture: moderngl.Texture, box: tuple[int, ...], **values: object
    ) -> None:
        texture.use(0)
        set_uniforms(program, box=box, **values)
        self._arrays[program].render(self._ctx.TRIANGLE_STRIP, vertices=4)

    def _draw_driver(self, size: tuple[int, int], margin: int, mirror: bool, where: dict[str, object]) -> None:
        if self._driver is None:
            return
        height, width = self._driver.shape[:2]
        shown = max(min(round(size[0] * _DRIVER_SHARE), round(_DRIVER_MOST_PX * self.scale)), 1)
        box = (shown, max(round(shown * height / width), 1))
        large = self._driver
        while large.shape[1] >= 2 * box[0] and large.shape[0] >= 2 * box[1]:  # halves are quick, other shares are not
            large = np.asarray(
                cv2.resize(large, (large.shape[1] // 2, large.shape[0] // 2), interpolation=cv2.INTER_AREA)
            )
        small = cv2.resize(large, box, interpolation=cv2.INTER_LINEAR)
        self._upload("driver", np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2RGBA), dtype=np.uint8))
        place = (size[0] - margin - box[0], margin, *box)
        texture = self._textures["driver"]
        self._lay(self._round, texture, place, mirrored=float(mirror), radius=8.0 * self.scale, **where)

    def _draw_line(
        self, name: str, words: list[str], size: tuple[int, int], margin: int, bottom: int, where: dict[str, object]
    ) -> int:
        """Words on a panel that ends at `bottom`; where the next one above it ends."""
        if not words:
            return bottom
        text_px, width = max(round(_TEXT_PX * self.scale), 8), size[0] - 2 * margin
        if self._drawn.get(name) != (words, text_px, width):
            colored = [(word, _WORD_COLORS.get(word.lower())) for word in words]
            self._upload(name, line_panel(colored, text_px, width))
            self._drawn[name] = (words, text_px, width)
        texture = self._textures[name]
        top = bottom - texture.height
        self._lay(self._plain, texture, (margin, top, *texture.size), mirrored=0.0, **where)
        return top - margin // 2

    def _draw_prompt(self, size: tuple[int, int], margin: int, bottom: int, where: dict[str, object]) -> None:
        """Above `bottom`, where the other lines begin."""
        text_px, width = max(round(min(_PROMPT_PX * self.scale, size[1] / 12)), 8), size[0] - 2 * margin
        if self._drawn.get("prompt") != (self._prompt, text_px, width):
            panel = line_panel([(word, None) for word in _words(self._prompt)], text_px, width, centred=True)
            self._upload("prompt", panel)
            self._drawn["prompt"] = (self._prompt, text_px, width)
        texture = self._textures["prompt"]
        top = max(min(round(size[1] * _PROMPT_AT) - texture.height // 2, bottom - texture.height), 0)
        self._lay(self._plain, texture, ((size[0] - texture.width) // 2, top, *texture.size), mirrored=0.0, **where)

    def _draw_keys(self, size: tuple[int, int], where: dict[str, object]) -> None:
        assert self.keys
        rows = len(self.keys) + 4
        text_px = max(min(round(_TEXT_PX * self.scale), int(size[1] / rows / 1.75)), 8)
        if self._drawn.get("keys") != (tuple(self.keys), text_px):
            self._upload("keys", table_panel("Keys and mouse", self.keys, text_px))
            self._drawn["keys"] = (tuple(self.keys), text_px)
        texture = self._textures["keys"]
        place = ((size[0] - texture.width) // 2, (size[1] - texture.height) // 2, *texture.size)
        self._lay(self._plain, texture, place, mirrored=0.0, **where)

    def _upload(self, name: str, rgba: NDArray[np.uint8]) -> None:
        size = (rgba.shape[1], rgba.shape[0])
        texture = self._textures.get(name)
        if texture is None or texture.size != size:
            if texture is not None:
                texture.release()
            texture = self._textures[name] = self._ctx.texture(size, 4)
            texture.filter = (self._ctx.NEAREST, self._ctx.NEAREST)
            texture.repeat_x = texture.repeat_y = False
        texture.write(np.ascontiguousarray(rgba).data, alignment=1)


def _words(text: str) -> list[str]:
    """What stands between middle dots."""
    return [word.strip().replace("_", " ") for word in text.split("·") if word.strip()]
