"""What a user can set, with the help text under each field; checked when constructed."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from calib.preparation_options import PreparationOptions
from capture.face.networks.answers import TrackerName
from capture.open_source import Layout, Rotate
from core.errors import InputError
from engine.flow.published.flow_options import FlowOptions, RigOptions, SourceOptions
from engine.motion.protocol import HeadPose
from realtime.offline.panels import OfflineFilm
from realtime.optional_value import OptionalValue, refuse_source
from realtime.outputs.address import Address
from realtime.recording.recorder import FilmName
from realtime.session.folder_names import RawName
from realtime.view_options import ViewOptions, VirtualCameraOptions, WindowOptions

EngineName = Literal["auto", "expression", "landmark", "flow"]


@dataclass(frozen=True, kw_only=True)
class AvatarOptions:
    """Which head is driven."""

    avatar: str = "realistic"
    """A built-in head (realistic, stylized, lowpoly), a mesh file (.obj, .ply, .glb, .gltf, .vrm), or Basel Face Model
    coefficients (.npy) with --bfm."""

    preparation: tyro.conf.OmitArgPrefixes[PreparationOptions] = field(default_factory=PreparationOptions)

    refresh: bool = False
    """Prepare the avatar again even if it is in the cache."""

    def __post_init__(self) -> None:
        coefficients, bfm = self.avatar.lower().endswith(".npy"), self.preparation.bfm
        if coefficients and bfm is None:
            raise InputError(f"--avatar {self.avatar}: coefficients need their model; add --bfm BFM09_model_info.mat")
        if bfm is not None and not coefficients:
            raise InputError(f"--bfm {bfm}: only --avatar COEFFICIENTS.npy uses it; leave it out")
        if coefficients and (texture := self.preparation.texture) is not None:
            raise InputError(f"--texture {texture}: a head from coefficients has its colours; leave it out")


@dataclass(frozen=True, kw_only=True)
class MotionOptions:
    """How the driver's face becomes motion."""

    engine: EngineName = "auto"
    """auto takes the best one available and says which and why."""

    checkpoint: Path | None = None
    """Network weights for --engine flow, such as the published VFA.pt; its own compact network when not given."""

    flow: tyro.conf.OmitArgPrefixes[FlowOptions] = field(default_factory=FlowOptions)

    head_pose: HeadPose = "follow"
    """follow: the avatar turns with the driver; fixed: only the expression is repeated."""

    profile: str | None = None
    """Name of the driver: neutral face and range of motion are loaded if kept before, and kept when taken. For
    vfa-live also FILE.json, short for --trace FILE.json."""

    face_model: Path | None = None
    """face_landmarker.task to use instead of the installed one."""

    tracker: TrackerName = "auto"
    """Who runs the face landmarker's networks: native and openvino take less time, mediapipe is the reference; auto
    takes the first of these that works and gives MediaPipe's answer."""

    fov: float | None = None
    """Vertical field of view in degrees of a colour-only camera or video whose intrinsics are not known."""

    rotate: Rotate = "0"
    """Degrees to turn the driver's pictures clockwise until they stand upright; auto finds out by the face."""

    retrack: bool = False
    """Of a session that drives, track the faces in its pictures anew, instead of repeating what was seen in them."""

    layout: Layout = "auto"
    """What a video shows: color, or depth-color (depth in its left half); auto looks."""

    @property
    def looks_at_pictures(self) -> bool:
        """Whether the engine asked for needs more of a frame than what was seen in it."""
        return self.engine == "flow" or self.checkpoint is not None

    def __post_init__(self) -> None:
        if self.checkpoint is not None and self.engine in ("landmark", "expression"):
            raise InputError(f"--checkpoint {self.checkpoint}: only --engine flow uses one; leave one of the two out")
        if self.checkpoint is None and self.engine != "flow" and (given := self.flow.given()):
            raise InputError(
                f"{given[0]}: only the flow engine uses it; add --engine flow or --checkpoint VFA.pt, or leave it out"
            )
        if self.fov is not None and not 5 <= self.fov <= 150:
            raise InputError(f"--fov {self.fov:g}: expected degrees between 5 and 150; leave it out if not known")


@dataclass(frozen=True, kw_only=True)
class RecordingOptions:
    """What is kept of a session. In the window, key V starts and stops a recording too."""

    record: Path | None = None
    """Folder for the session: preview.mp4, animation.npz and all that is needed to play it again (--device FOLDER)."""

    record_raw: RawName = "off"
    """Of the camera's own pictures keep none, the colour (H.264) or colour and depth (rgbd: FFV1 in millimetres).
    Sessions play without, but for --engine flow and --retrack; frames that the encoder cannot keep up with are left
    out and counted."""

    audio: OptionalValue = None
    """Keep what a microphone hears beside the pictures (sound.wav, and in preview.mp4): a part of its name or its
    number as vfa devices lists them, or the default one when it stands alone. Needs the extra "audio"."""

    film: FilmName | None = None
    """What preview.mp4 shows, as high as the window: both (driver beside avatar) or avatar. When not given: both, 480
    pixels high, which costs the least."""

    overwrite: bool = False
    """Replace a recording that is already in the folder."""

    report: Path | None = None
    """Write counts, rates, latencies and memory to this JSON file at the end."""


@dataclass(frozen=True, kw_only=True)
class LiveOptions(AvatarOptions, MotionOptions):
    """Drive a head live: capture, track, animate, show, record. `vfa-live clip.mp4` is short for --device clip.mp4."""

    clip: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="[CLIP]")] = None
    """What drives: a clip, or all that --device takes."""

    device: str | None = None
    """demo (when nothing is given), webcam[:N], kinect[:serial], record3d[:udid], a phone that tracks the face itself
    (livelink:[HOST:]PORT, ifacialmocap:HOST, see docs/outputs.md), or a path: RGBD folder or pair, RGBD or color-only
    video, or a session (what --record made)."""

    once: bool = False
    """End with the end of a recording, instead of beginning anew. So it is without a window, and with --record."""

    loop: bool = False
    """Begin a recording anew at its end in any case, for booths."""

    seconds: float | None = None
    """End so many seconds after the first frame is shown, or half a minute later where none ever comes. Without it:
    until the window closes, Ctrl-C or the end of the file."""

    calibrate_range: bool = False
    """Begin with the range of motion: ten seconds of prompts that set gains per unit (key G does the same)."""

    send: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """Send what the avatar does to another program, live: vmc://HOST:PORT, livelink://HOST:PORT?subject=NAME,
    ifacialmocap://HOST:PORT, osf://HOST:PORT or ws://HOST:PORT; may be given several times (docs/outputs.md)."""

    trace: Path | None = None
    """Write what every thread did when to this file, for https://ui.perfetto.dev or chrome://tracing; it belongs into a
    bug report about speed. The newest six minutes or so are kept."""

    window: tyro.conf.OmitArgPrefixes[WindowOptions] = field(default_factory=WindowOptions)

    virtual_camera: tyro.conf.OmitArgPrefixes[VirtualCameraOptions] = field(default_factory=VirtualCameraOptions)

    recording: tyro.conf.OmitArgPrefixes[RecordingOptions] = field(default_factory=RecordingOptions)

    def __post_init__(self) -> None:
        AvatarOptions.__post_init__(self)
        MotionOptions.__post_init__(self)
        self.window.check()
        self.virtual_camera.check()
        refuse_source("--audio", self.recording.audio)
        if self.clip is not None and self.device is not None:
            raise InputError(f"{self.clip} --device {self.device}: expected one of the two; leave the other out")
        if self.once and self.loop:
            raise InputError("--once --loop: expected one of the two; leave the other out")
        if self.seconds is not None and not (self.seconds > 0 and math.isfinite(self.seconds)):
            raise InputError(f"--seconds {self.seconds:g}: expected a positive number")
        if twice := [given for number, given in enumerate(self.send) if given in self.send[:number]]:
            raise InputError(f"--send {twice[0]}: is there twice; leave one out")
        for given in self.send:
            Address.parse(given)
        if self._profile_is_trace and self.trace is not None:
            raise InputError(f"--profile {self.profile} --trace {self.trace}: expected one file; leave the other out")

    @property
    def _profile_is_trace(self) -> bool:
        return self.profile is not None and self.profile.lower().endswith(".json")

    @property
    def trace_file(self) -> Path | None:
        """Where --trace, or --profile with a file, wants its trace."""
        return Path(self.profile) if self.profile is not None and self._profile_is_trace else self.trace

    @property
    def person(self) -> str | None:
        """The driver whom --profile names."""
        return None if self._profile_is_trace else self.profile

    @property
    def driving(self) -> str:
        """The device or path that drives."""
        given = self.device if self.clip is None else self.clip
        return "demo" if given is None else given

    @property
    def repeated(self) -> bool:
        """Whether a recording begins anew at its end."""
        return self.loop or not (self.once or self.window.headless or self.recording.record is not None)


@dataclass(frozen=True, kw_only=True)
class AnimateOptions(AvatarOptions, MotionOptions):
    """Drive a head with a recording, offline: every frame, and the same result every time."""

    driving: Path
    """RGBD folder, colour/depth pair, RGBD video, colour-only video, a session (what --record made), or demo: the
    built-in performer's minute."""

    out: Path
    """Folder for animation.npz, preview.mp4 and the rest of the session."""

    neutral_frame: Annotated[str, tyro.conf.arg(metavar="N|auto|best", aliases=["--start-frame"])] = "auto"
    """Frame in which the driver's face is neutral, counted from 0 in the whole recording; auto estimates one (of
    a session: takes those it was recorded with), best takes the frame whose landmarks look most like the avatar's."""

    offset: int = 0
    """Frames left out at the recording's beginning."""

    length: int | None = None
    """Frames that are animated from there on; all when not given."""

    target_frame: int | None = None
    """Animate this frame of the recording alone: its pictures (N_driving.png, N_animated.png and so on, as --film
    says) and its pose."""

    film: OfflineFilm = "both"
    """What preview.mp4 shows, as high as --size says: both (driver beside avatar) or avatar. grid: driver, avatar at
    rest, what the network paints (only published ones paint), animated avatar, the same turned; 480 pixels high."""

    overwrite: bool = False
    """Replace a recording that is already in the folder."""

    view: tyro.conf.OmitArgPrefixes[ViewOptions] = field(default_factory=ViewOptions)

    def __post_init__(self) -> None:
        AvatarOptions.__post_init__(self)
        MotionOptions.__post_init__(self)
        self.view.check()
        if self.neutral_frame not in ("auto", "best") and not self.neutral_frame.isdecimal():
            raise InputError(
                f"--neutral-frame {self.neutral_frame}: expected a frame number from 0, auto to have a neutral face "
                "found, or best for the frame most like the avatar"
            )
        for option, number, least in (
            ("--offset", self.offset, 0),
            ("--length", self.length, 1),
            ("--target-frame", self.target_frame, 0),
        ):
            if number is not None and number < least:
                raise InputError(f"{option} {number}: expected a number from {least}")
        if self.target_frame is not None and (self.offset or self.length is not None):
            raise InputError(
                f"--target-frame {self.target_frame}: is one frame, counted in the whole recording; leave out --offset "
                "and --length"
            )

    @property
    def performer_drives(self) -> bool:
        """Whether the built-in performer does, as no file is called demo."""
        return str(self.driving) == "demo" and not self.driving.exists()


@dataclass(frozen=True, kw_only=True)
class ExportOptions(AvatarOptions):
    """Write the network's live graph for one avatar as ONNX."""

    checkpoint: Path
    """Network weights, such as the published VFA.pt."""

    out: Path
    """The .onnx file to write."""

    source: tyro.conf.OmitArgPrefixes[SourceOptions] = field(default_factory=SourceOptions)


@dataclass(frozen=True, kw_only=True)
class PrepareOptions(AvatarOptions):
    """Prepare an avatar ahead of time and show what was found on it."""

    place_landmarks: Path | None = None
    """Open a window in which landmarks are placed by clicking, and keep them in this file (.json)."""

    picture: Path | None = field(default=None)
    """Write a picture of the head with its landmarks and controllers to this file; of a head in which no face is found,
    what was looked at."""

    view_picture: Path | None = None
    """Write a picture of the head as films show it, from --eye, with --translation and --size, to this file."""

    tune_flow: float | None = None
    """Tune the flow engine's network to this head for so many minutes, on its own expressions. Kept, and used by
    --engine flow from then on, only if it beats the general one on others; the same again goes on from there."""

    view: tyro.conf.OmitArgPrefixes[ViewOptions] = field(default_factory=ViewOptions)

    weights: tyro.conf.OmitArgPrefixes[RigOptions] = field(default_factory=RigOptions)

    def __post_init__(self) -> None:
        AvatarOptions.__post_init__(self)
        if self.tune_flow is not None and not 0 < self.tune_flow <= 600:
            raise InputError(f"--tune-flow {self.tune_flow:g}: expected minutes, more than 0 and at most 600")
        asked = [*(["--tune-flow"] if self.tune_flow is not None else []), *self.weights.given()]
        if asked and self.preparation.morphs == "on":  # told before the head is prepared, which takes a minute
            raise InputError(
                f"{asked[0]}: for the flow engine, which moves a bare mesh; --morphs asks for the shapes of the file, "
                "which only the expression engine moves; leave out one of them"
            )
        self.view.check()
