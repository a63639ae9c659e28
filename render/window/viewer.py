"""Shows an avatar being driven, in a window or without one. It is handed what it shows and reaches for nothing."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.camera import PUBLISHED_INTRINSICS, Intrinsics, OrbitCamera
from core.closeable import Closeable
from core.mesh import Mesh
from core.spans import span
from core.writable import print_aside
from render.gl.backdrop import Backdrop
from render.gl.background import TRANSPARENT, Background
from render.gl.gl_context import OTHERWISE, GlWindow, create_context, is_software, make_current, release_context
from render.gl.mesh_renderer import MeshRenderer
from render.gl.render_target import RenderTarget
from render.gl.window_style import WindowStyle
from render.mesh.looks import PartLook
from render.native.painter import compiled_painter
from render.skin.moving_skin import SkinPose
from render.window.hud import Hud
from render.window.reduced_picture import ReducedPicture, scales_for
from render.window.side_picture import SidePicture
from render.window.viewer_controls import KEY_HELP, ViewerCommand, ViewerControls
from render.window.window_input import connect_input

if TYPE_CHECKING:
    import moderngl

__all__ = ["Viewer", "ViewerCommand"]

_SAMPLES = 4
_NECK = -1.0  # avatar units: what lies below is neck and shoulders, which may be come nearer to


class Viewer(Closeable):
    """A picture of one mesh, drawn anew by every `show`. Only for the thread that made it; a context manager.

    Args:
        mesh: the avatar; its vertices are shown until the first pose. None: the window stands empty until `set_mesh`.
        size: width and height in pixels, of the window's content on an ordinary screen. The window may be resized.
        headless: draw the same without a window.
        mirror: show it as in a mirror (the window only: `read_rgb` is never mirrored).
        camera: where it is seen from; by default the published camera.
        intrinsics: the part of the world that the picture is sure to show.
        looks: surface qualities by part or material name, where the names do not say (`render.mesh.looks`).
        background: what stands behind the head (`render.gl.background`); the studio when left out.
        style: of the window. One without borders shows no overlays but keys and prompts until key I is pressed.
        vsync: let the window wait for the screen.
        otherwise: see `GlWindow`.

    Attributes:
        scale: share of its width and height that the picture is drawn in from the next `show` on, one of `scales`; it
            is enlarged to its size then. What is drawn a second time, and `read_still`, are always drawn in full.

    Raises InputError where there is no display (or, headless, no OpenGL).
    """

    def __init__(
        self,
        mesh: Mesh | None,
        size: tuple[int, int] = (960, 720),
        *,
        headless: bool = False,
        mirror: bool = False,
        camera: OrbitCamera | None = None,
        intrinsics: Intrinsics = PUBLISHED_INTRINSICS,
        looks: Mapping[str, PartLook] | None = None,
        background: Background | None = None,
        style: WindowStyle | None = None,
        title: str = "vfa-live",
        vsync: bool = True,
        otherwise: str = OTHERWISE,
    ) -> None:
        self._resources = ExitStack()
        self._window: GlWindow | None = None
        self._size = size
        if headless:
            self._ctx = create_context()
            self._resources.callback(release_context, self._ctx)
        else:
            self._window = self._resources.enter_context(
                GlWindow(*size, title, vsync=vsync, style=style, otherwise=otherwise)
            )
            self._ctx = self._window.ctx
        try:
            self._bare = style is not None and style.bare
            self.controls = ViewerControls(camera or OrbitCamera(), mirror, show_hud=not self._bare)
            self._framing = intrinsics
            self._make_current()
            self._software = is_software(self._ctx)
            self._samples = 0 if self._software else min(_SAMPLES, self._ctx.max_samples)
            self._renderer: MeshRenderer | None = None
            self._background, self._backdrop = background, Backdrop(self._ctx, background)
            self._sides: dict[Background | None, SidePicture] = {}
            self._reduced = ReducedPicture(self._ctx, background, self._samples, software=self._software)
            self.scale = 1.0
            self._hud = Hud(self._ctx)
            self._scene = self._make_target(self._pixels())
            self._screen: moderngl.Framebuffer | None = None
            if self._window is not None:
                connect_input(self._window, self.controls, self._world_per_unit)
            if mesh is None:
                self.show_empty("starting")
            else:
                self.set_mesh(mesh, looks)
        except BaseException:
            self._resources.close()
            raise

    def set_mesh(
        self, mesh: Mesh, looks: Mapping[str, PartLook] | None = None, framing: Intrinsics | None = None
    ) -> None:
        """Show another mesh from here on, at rest until its first pose; `framing` replaces what the picture is sure to
        show."""
        self._make_current()
        self._framing = framing or self._framing
        if self._renderer is not None:
            self._renderer.release()
        camera = self.controls.camera
        head = mesh.vertices[mesh.vertices[:, 1] > _NECK]
        reach = float(np.linalg.norm(head if len(head) else mesh.vertices, axis=1).max(initial=0.0))
        camera.nearest = max(camera.nearest, reach)  # from anywhere outside of this, no way leads into the skull
        detail = float(np.linalg.norm(camera.eye)) / self.intrinsics.fx
        self._renderer = MeshRenderer(self._ctx, mesh, looks, detail=detail)
        self.show(mesh.vertices, np.eye(4), None, "starting")

    def _make_target(self, size: tuple[int, int]) -> RenderTarget:
        return RenderTarget(self._ctx, *size, samples=self._samples)

    def _make_current(self) -> None:
        """Draw in this viewer's context from here on, in case another was used in between."""
        if self._window is None:
            make_current(self._ctx)
        else:
            self._window.make_current()

    def _pixels(self) -> tuple[int, int]:
        """Size to draw in; while the window is minimised, its last one."""
        if self._window is not None:
            width, height = self._window.framebuffer_size
            if width > 0 and height > 0:
                self._size = (width, height)
        return self._size

    @property
    def intrinsics(self) -> Intrinsics:
        """The camera of the picture last shown."""
        return self._framing.fitted(*self._scene.size)

    @property
    def scales(self) -> tuple[float, ...]:
        """What `scale` may be, the whole first: as long as a smaller picture still shows a face well."""
        return scales_for(self._scene.size)

    @property
    def graphics(self) -> str:
        """What draws, in the words of OpenGL: its renderer and version."""
        return f"{self._ctx.info['GL_RENDERER']}, {self._ctx.info['GL_VERSION']}"

    def prepare_drawing(self) -> None:
        """Do what the first mesh would otherwise wait for: where the processor draws, what draws is compiled once. May
        be called from any thread."""
        if self._software:
            compiled_painter()

    def _world_per_unit(self) -> float:
        """Avatar units that one unit of mouse movement spans at the origin."""
        pixels = self._window.pixels_per_unit if self._window is not None else 1.0
        return float(np.linalg.norm(self.controls.camera.eye)) / self.intrinsics.fx * pixels

    @property
    def needs_redraw(self) -> bool:
        """Whether camera, size or overlays changed since the last `show`."""
        return self.controls.changed or self._pixels() != self._scene.size or self._hud.notice_is_over

    @property
    def takes_poses(self) -> bool:
        """Whether `show` takes a `SkinPose`: where a graphics card draws, with samples."""
        return not self._software and self._samples > 0

    def show(
        self,
        shape: NDArray[np.float32] | SkinPose,
        T_world_head: NDArray[np.float64],
        driver_rgb: NDArray[np.uint8] | None,
        status: str,
    ) -> None:
        """Draw a pose.

        Args:
            shape: vertices [V, 3] float32, avatar units, before the head pose; or, with `takes_poses`, a pose of whose
                vertices the graphics card knows: their numbers alone go there.
            T_world_head: [4, 4] float64 rigid motion of the whole head.
            driver_rgb: [h, w, 3] uint8 picture of the driver for the corner, or None.
            status: words for the line at the bottom, separated by middle dots.

        Raises ValueError where there is no mesh yet.
        """
        if self._renderer is None:
            raise ValueError("expected a mesh before the first pose: call set_mesh")
        self._make_current()
        with span("upload"):
            if isinstance(shape, SkinPose):
                self._renderer.set_pose(shape)
            else:
                self._renderer.set_vertices(shape)
        self._T_world_head = T_world_head
        self._hud.end_notices()  # here: without a window nothing draws them
        self._hud.set_driver(driver_rgb)
        self._hud.set_status(status)
        self._draw()

    def show_empty(self, status: str) -> None:
        """Draw the picture without an avatar, and a status line as in `show`."""
        self._make_current()
        self._hud.set_status(status)
        self._draw()

    def _draw(self) -> None:
        with span("draw"):
            self._draw_scene()
        if self._window is not None and self._window.framebuffer_size[0] > 0:
            with span("overlays"):
                self._draw_overlays(self._ctx.screen)
            with span("swap"):
                self._window.swap()
        self.controls.changed = False

    def _draw_scene(self) -> None:
        """The picture in the window's size of this moment: asked once, for it may change while we draw."""
        size = self._pixels()
        if size != self._scene.size:
            self._scene.release()
            self._scene = self._make_target(size)
        if self.scale < 1.0 and self._renderer is not None:
            self._reduced.draw(self.scale, self._scene, self._render_reduced)
        else:
            self._render(self._scene, self._backdrop)

    def _render_reduced(self, target: RenderTarget, backdrop: Backdrop) -> None:
        self._render(target, backdrop, self.intrinsics.resized(*target.size))

    def _render(self, target: RenderTarget, backdrop: Backdrop, camera: Intrinsics | None = None) -> None:
        """The pose last shown, as large as the target, whose frame shows all that the window's does."""
        if self._renderer is None:
            target.begin(backdrop)
            target.finish()
            return
        view = self.controls.camera.T_camera_world()
        self._renderer.render(target, view, camera or self._framing.fitted(*target.size), self._T_world_head, backdrop)

    def _draw_overlays(self, onto: moderngl.Framebuffer) -> None:
        hud, controls = self._hud, self.controls
        hud.scale = self._window.pixels_per_unit if self._window is not None else 1.0
        hud.visible, hud.silent = controls.show_hud, self._bare and not controls.show_hud
        hud.keys = KEY_HELP if controls.show_keys else None
        onto.viewport = (0, 0, *self._scene.size)
        hud.draw(onto, self._scene, mirror=controls.mirror, turned=onto is self._ctx.screen)

    def poll(self) -> list[ViewerCommand]:
        """Take in what happened at the window; what the user asked for since the last call, oldest first.

        Camera and display options are dealt with here. Closing the window is QUIT.
        """
        if self._window is not None:
            self._window.poll_events()
            if self._window.take_close_request():
                self.controls.quit()
        if self.controls.print_camera:
            self.controls.print_camera = False
            line = self.controls.camera.command_line()
            print_aside(line, sys.stdout)
            self.notify(line)
        while self.controls.said:
            self.notify(self.controls.said.popleft())
        return self.controls.take_commands()

    def refused(self) -> list[str]:
        """What of the window's style the desktop did not give it, a line each."""
        return [] if self._window is None else self._window.refused()

    def prompt(self, text: str) -> None:
        """Show what the person should do now, large, until it is another text or an empty one."""
        if self._hud.set_prompt(text):
            self.controls.changed = True

    def notify(self, text: str) -> None:
        """Show a line over the picture for a few seconds, such as the name of a file just saved."""
        self._hud.notify(text)
        self.controls.changed = True

    def read_rgb(self, *, overlays: bool = False) -> NDArray[np.uint8]:
        """The picture last shown, [H, W, 3] uint8: the avatar alone, not mirrored; or with overlays, as on the screen.

        Its size is the window's at the time of the last `show`.
        """
        self._make_current()
        if not overlays:
            return self._scene.rgb()
        if self._screen is None or self._screen.size != self._scene.size:
            self._screen = self._ctx.framebuffer([self._ctx.texture(self._scene.size, 4)])
        self._draw_overlays(self._screen)
        data = self._screen.read(components=3, alignment=1)
        return np.frombuffer(data, dtype=np.uint8).reshape(self._scene.height, self._scene.width, 3)

    def read_rgba(self) -> NDArray[np.uint8]:
        """The avatar of the picture last shown before nothing, [H, W, 4] uint8, as large as `read_rgb` gives it.

        Colours are not multiplied by their alpha: as PNG and WebM have them. Unless the background is `TRANSPARENT`,
        the pose is drawn a second time for it.
        """
        self._make_current()
        if self._background is TRANSPARENT:
            return self._scene.rgba()
        return self._drawn_again(TRANSPARENT, self._scene.size).rgba()

    def read_still(self) -> NDArray[np.uint8]:
        """What a picture file of it holds: `read_rgba` where the window is see-through, `read_rgb` otherwise."""
        if self.scale < 1.0:
            self._make_current()
            again = self._drawn_again(self._background, self._scene.size)
            return again.rgba() if self._background is TRANSPARENT else again.rgb()
        return self.read_rgba() if self._background is TRANSPARENT else self.read_rgb()

    def read_other_rgb(self, background: Background | None, size: tuple[int, int]) -> NDArray[np.uint8]:
        """The pose last shown before another background and in another width and height: drawn a second time.

        [height, width, 3] uint8, never mirrored, without overlays.
        """
        self._make_current()
        return self._drawn_again(background, size).rgb()

    def _drawn_again(self, background: Background | None, size: tuple[int, int]) -> RenderTarget:
        side = self._sides.get(background)
        if side is None:
            side = self._sides[background] = SidePicture(self._ctx, background, self._samples)
        return side.drawn(size, self._render)

    def close(self) -> None:
        """Close the window, free everything. Safe to call twice."""
        self._resources.close()
