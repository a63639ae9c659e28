"""The parts of `benchmarks.gpu`, each for a process of its own. Only PyTorch and NumPy are taken for granted.

`python -m benchmarks.gpu_parts NAME SETTING` runs one; what it finds goes into its JSON file as it is found.
"""

from __future__ import annotations

import copy
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError

if TYPE_CHECKING:
    from core.frame import FaceObservation
    from engine.flow.backends.backend import CompileRequest
    from engine.flow.backends.compiled import CompiledMotion, MotionFields
    from engine.flow.network.motion_network import MotionNetwork

Telling = Callable[..., None]
_FRAMES = 60  # of the built-in performer
_WINDOW = (960, 720)
_PIXEL, _FEW = 24, 0.01  # levels of 255 by which pixels may differ at edges, and how many of them may differ by more
_MEAN = 1.0  # level by which pictures may differ on average
_VERTEX = 2e-3  # avatar units (a head is about 2 high): what flow engines on two backends may differ by
_MESA = "/usr/share/glvnd/egl_vendor.d/50_mesa.json"


@dataclass(frozen=True)
class Setting:
    """Where and how long parts run. `short`: few rounds, for trying everything out on a processor."""

    device: str
    short: bool
    seconds: float
    out: Path
    pairs: Path

    @staticmethod
    def read(text: str) -> Setting:
        values = json.loads(text)
        return Setting(**values | {"out": Path(values["out"]), "pairs": Path(values["pairs"])})

    def lasting(self, seconds: float) -> Setting:
        return replace(self, seconds=seconds)

    def result(self, name: str) -> Path:
        return self.out / f"{name}.json"

    def log(self, name: str) -> Path:
        return self.out / f"{name}.log"

    @property
    def rounds(self) -> int:
        return 5 if self.short else 100


class MissingError(Exception):
    """Something the part needs is not on this machine."""


@dataclass(frozen=True)
class Part:
    """most_s: more time it never takes."""

    run: Callable[[Setting, Telling], None]
    most_s: float
    environment: dict[str, str] = field(default_factory=dict)


# ---- the machine ----


def machine(setting: Setting, tell: Telling) -> None:
    import torch

    tell(python=platform.python_version(), torch=torch.__version__, cpu=_processor(), cores=os.cpu_count())
    tell(cuda=torch.version.cuda, cudnn=torch.backends.cudnn.version())
    names = ("scipy", "cv2", "moderngl", "mediapipe", "openvino", "onnxruntime", "onnxscript", "tensorrt")
    tell(importable={name: _importable(name) for name in (*names, "torch_tensorrt", "triton", "tyro", "platformdirs")})
    if setting.device == "cuda":
        if not torch.cuda.is_available():
            raise MissingError("no CUDA device is visible to PyTorch")
        facts = torch.cuda.get_device_properties(0)
        tell(gpu=facts.name, capability=f"{facts.major}.{facts.minor}", gpu_bytes=facts.total_memory)
        tell(gpu_processors=facts.multi_processor_count, nvidia_smi=_nvidia_smi())


def _importable(name: str) -> bool:
    from importlib.util import find_spec

    return find_spec(name) is not None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def _nvidia_smi() -> str:
    """Driver, clocks, power, temperature at this moment."""
    query = "name,driver_version,clocks.sm,clocks.max.sm,clocks.mem,power.draw,temperature.gpu,pstate"
    if shutil.which("nvidia-smi") is None:
        return "no nvidia-smi"
    command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout.strip()
    except subprocess.TimeoutExpired:
        return "nvidia-smi does not answer"


# ---- networks ----


def flow(size: str, way: str, setting: Setting, tell: Telling) -> None:
    """One network run in one way: `ms` from NumPy to NumPy as the live program calls it, `ms_gpu` on the GPU alone."""
    import torch

    from engine.flow.backends.backend import CompileRequest

    _check(way, setting)
    on_gpu = setting.device == "cuda"
    if on_gpu and not torch.cuda.is_available():
        raise MissingError("no CUDA device is visible to PyTorch")
    live = _live(size)
    request = CompileRequest(live, "benchmark", size)
    for kind in (way, "cuda-graph-tf32") if way == "cuda-graph" else (way,):
        _flow(kind, request, setting, partial(_under, tell, "tf32_" if kind.endswith("tf32") else ""))
    if on_gpu:
        tell(gpu_bytes_peak=torch.cuda.max_memory_allocated(), nvidia_smi=_nvidia_smi())


def _under(tell: Telling, prefix: str, **facts: Any) -> None:
    tell(**{prefix + name: value for name, value in facts.items()})


def _check(way: str, setting: Setting) -> None:
    """Whether what the way needs is here, before anything is built for it."""
    if setting.device != "cuda" and way in ("cuda-graph", "tensorrt"):
        raise MissingError("it needs a CUDA device")
    needed = {"tensorrt": ("torch_tensorrt", "tensorrt"), "onnxruntime": ("onnxruntime", "onnx", "onnxscript")}
    if lacking := [name for name in needed.get(way, ()) if not _importable(name)]:
        raise MissingError(f"the package {' and the package '.join(lacking)}")


def _flow(way: str, request: CompileRequest, setting: Setting, tell: Telling) -> None:
    from engine.flow.backends.compiled import EXACT, REDUCED, measured
    from engine.flow.network.motion_network import sample_inputs

    live = request.network
    started = time.perf_counter()
    run, alone, precision = _compiled(way, request, setting)
    driving, offset = (value.numpy() for value in sample_inputs(live.config, 13))
    run(driving, offset)
    tell(precision=precision, seconds_to_first_result=round(time.perf_counter() - started, 2))
    limit = EXACT if precision == "fp32" else REDUCED
    proof = measured(run, [_eager(live, seed) for seed in range(1 if setting.short else 3)])
    tell(flow_error_px=proof.flow_px, depth_error=proof.depth, equal=proof.within(limit))
    tell(allowed_flow_px=limit.flow_px, allowed_depth=limit.depth)
    tell(**_call_ms(lambda: run(driving, offset), setting))
    if alone is not None and setting.device == "cuda":
        tell(ms_gpu=_event_ms(alone, setting.rounds))


def _live(size: str) -> MotionNetwork:
    from engine.flow.network.motion_network import MotionNetwork, sample_inputs

    if size == "published":
        from benchmarks.published import stand_in_network

        network = stand_in_network()
    else:
        from engine.flow.network.checkpoint import load_checkpoint
        from engine.flow.ours.shipped import COMPACT_FILE

        network = load_checkpoint(COMPACT_FILE).network
    return MotionNetwork(network, sample_inputs(network.config, 11)[0])


def _eager(live: MotionNetwork, seed: int) -> Any:
    from engine.flow.backends.backend import eager_sample

    return eager_sample(live, seed)


def _compiled(
    way: str, request: CompileRequest, setting: Setting
) -> tuple[CompiledMotion, Callable[[], object] | None, str]:
    """What runs it, what launches it on the GPU without waiting (where that can be parted), and its precision."""
    if way == "eager":
        plain = _OnDevice(request.network, setting.device, compiles=False)
        return plain, plain.launch, "fp32"
    if way == "compile":
        compiled = _OnDevice(request.network, setting.device, compiles=True)
        return compiled, compiled.launch, "fp32"
    if way == "onnxruntime":
        return _OnnxRuntime(request.network, setting), None, "fp32"
    if way in ("cuda-graph", "cuda-graph-tf32"):
        from engine.flow.backends.eager import CudaGraphBackend

        captured = CudaGraphBackend(tf32=way == "cuda-graph-tf32")
        graph = captured.compile(request)
        return graph, graph.launch, captured.precision
    from engine.flow.backends.tensorrt import TensorRtBackend

    backend = TensorRtBackend()
    if reason := backend.missing():
        raise MissingError(reason)
    return backend.compile(request), None, backend.precision


class _OnDevice:
    """PyTorch itself, eager or through torch.compile (on a GPU with its own CUDA graphs)."""

    def __init__(self, network: MotionNetwork, device: str, *, compiles: bool) -> None:
        import torch

        from engine.flow.network.motion_network import sample_inputs

        torch.backends.cudnn.allow_tf32 = False  # as exact as the processor; on unless told otherwise
        self._network: Callable[..., tuple[torch.Tensor, ...]] = copy.deepcopy(network).to(device)
        self._device = device
        self._inputs = tuple(value.to(device) for value in sample_inputs(network.config))
        if compiles:
            mode = "reduce-overhead" if device == "cuda" else "default"
            self._network = torch.compile(self._network, mode=mode, fullgraph=True, dynamic=False)
        self._mark = torch.compiler.cudagraph_mark_step_begin

    def __call__(self, driving: NDArray[np.float32], alpha_offset: NDArray[np.float32]) -> MotionFields:
        import torch

        from engine.flow.backends.compiled import MotionFields

        for held, given in zip(self._inputs, (driving, alpha_offset), strict=True):
            held.copy_(torch.from_numpy(given))
        return MotionFields(*(value.cpu().numpy() for value in self.launch()))

    def launch(self) -> tuple[Any, ...]:
        import torch

        self._mark()  # results of the launch before may be overwritten
        with torch.no_grad():
            return self._network(*self._inputs)


class _OnnxRuntime:
    """ONNX Runtime on the exported graph."""

    def __init__(self, network: MotionNetwork, setting: Setting) -> None:
        import onnxruntime

        from engine.flow.backends.onnx_export import INPUTS, export_onnx

        provider = "CUDAExecutionProvider" if setting.device == "cuda" else "CPUExecutionProvider"
        if provider not in onnxruntime.get_available_providers():
            raise MissingError(f"onnxruntime without {provider}; install onnxruntime-gpu")
        if setting.device == "cuda" and hasattr(onnxruntime, "preload_dlls"):
            onnxruntime.preload_dlls()  # the CUDA libraries that came with PyTorch
        path = setting.out / f"network-{network.config.image_size}.onnx"
        export_onnx(network, path)
        given: Any = (provider, {"use_tf32": "0"}) if setting.device == "cuda" else provider
        self._session = onnxruntime.InferenceSession(str(path), providers=[given])
        path.unlink()
        if self._session.get_providers()[0] != provider:
            raise MissingError(f"onnxruntime's {provider} does not start here")
        self._names = INPUTS

    def __call__(self, driving: NDArray[np.float32], alpha_offset: NDArray[np.float32]) -> MotionFields:
        from engine.flow.backends.compiled import MotionFields

        given = dict(zip(self._names, (driving, alpha_offset), strict=True))
        return MotionFields(*self._session.run(None, given))


def _call_ms(call: Callable[[], object], setting: Setting) -> dict[str, float]:
    """Milliseconds of calls that return when they are done: the middle one, and of which one in twenty takes longer."""
    took = []
    until = time.perf_counter() + max(1.0, 0.3 * setting.seconds)
    for _ in range(3):
        call()
    while len(took) < setting.rounds and (len(took) < 3 or time.perf_counter() < until):
        start = time.perf_counter()
        call()
        took.append((time.perf_counter() - start) * 1e3)
    return {"ms": float(np.median(took)), "ms_p95": float(np.quantile(took, 0.95))}


def _event_ms(launch: Callable[[], object], rounds: int) -> float:
    """Milliseconds of one launch among many in a row, by CUDA events."""
    import torch

    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    for _ in range(3):
        launch()
    torch.cuda.synchronize()
    begin.record()
    for _ in range(rounds):
        launch()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end) / rounds)


# ---- the program around them ----


def tracker(setting: Setting, tell: Telling) -> None:
    """The face tracker on the built-in performer, as the live program calls it."""
    observations, ms = _tracked(setting)
    tell(ms=float(np.median(ms)), ms_p95=float(np.quantile(ms, 0.95)), frames=len(ms))
    tell(tracked_share=float(np.mean([observation.tracked for observation in observations])))


def _tracked(setting: Setting) -> tuple[list[FaceObservation], list[float]]:
    from itertools import islice

    from core.source import frames_of
    from realtime.api import FaceTracker, open_source

    observations, ms = [], []
    with FaceTracker(None) as tracking:
        for frame in islice(frames_of(open_source("demo", realtime=False)), 15 if setting.short else _FRAMES):
            start = time.perf_counter()
            observations.append(tracking.track(frame))
            ms.append((time.perf_counter() - start) * 1e3)
    return observations, ms[3:]


def engines(setting: Setting, tell: Telling) -> None:
    """Every engine on a built-in head; the flow engine's backend against eager, in vertices."""
    from engine.flow.published.flow_options import FlowOptions
    from realtime.api import MotionOptions, make_engine, prepare_avatar

    avatar = prepare_avatar("realistic")
    observations, _ = _tracked(setting)
    observations = [observation for observation in observations if observation.tracked]
    moved = {}
    backends: dict[str, Any] = {"flow": None, "flow_eager": "eager"}
    for name in ("expression", "landmark", "flow", "flow_eager"):
        kind = name.split("_")[0]
        engine = make_engine(MotionOptions(engine=kind, flow=FlowOptions(backend=backends.get(name))), avatar)  # type: ignore[arg-type]
        engine.calibrate(observations[0])
        ms, shown = [], []
        for observation in observations[: 6 if setting.short else None]:
            start = time.perf_counter()
            shown.append(engine.animate(observation).vertices.copy())
            ms.append((time.perf_counter() - start) * 1e3)
        moved[name] = np.stack(shown)
        tell(**{f"{name}_ms": float(np.median(ms))})
        if kind == "flow":
            tell(**{f"{name}_backend": engine.backend.why})  # type: ignore[attr-defined]
    apart = float(np.abs(moved["flow"] - moved["flow_eager"]).max())
    tell(flow_vertices_apart=apart, allowed_vertices_apart=_VERTEX, equal=apart <= _VERTEX)


def head(_: Setting, tell: Telling) -> None:
    """A built-in head prepared, which the parts after this one find in the cache."""
    from realtime.api import prepare_avatar

    start = time.perf_counter()
    avatar = prepare_avatar("realistic")
    tell(prepared_s=round(time.perf_counter() - start, 2), vertices=len(avatar.display_mesh.vertices))


def drawing(name: str, setting: Setting, tell: Telling) -> None:
    """A built-in head in the window's size, drawn and read back; the picture is kept for comparison."""
    from realtime.api import AvatarPictures, AvatarPose, prepare_avatar
    from render.gl.gl_context import create_context, is_software, release_context

    context = create_context()
    tell(
        renderer=str(context.info["GL_RENDERER"]),
        version=str(context.info["GL_VERSION"]),
        software=is_software(context),
    )
    release_context(context)
    avatar = prepare_avatar("realistic")
    rest = np.asarray(avatar.display_mesh.vertices, np.float32)
    pose = AvatarPose(rest, np.eye(4), 0.0, 0, True)
    with AvatarPictures(avatar, _WINDOW) as pictures:
        np.save(setting.out / f"{name}.npy", pictures.take(pose))
        tell(**_call_ms(lambda: pictures.take(pose), setting))


def posing(setting: Setting, tell: Telling) -> None:
    """Poses that go up as numbers, beside the same as vertices; see there."""
    from benchmarks.gpu_posing import compare_posing

    observations = [each for each in _tracked(setting)[0] if each.tracked]
    compare_posing(observations[: 4 if setting.short else None], _WINDOW, tell)


def pictures_agree(first: Path, second: Path, *, same_renderer: bool) -> dict[str, Any]:
    """How far two pictures are apart; `equal` within what rasterisers may differ by at edges."""
    a, b = (np.load(path).astype(np.float64) for path in (first, second))
    apart = np.abs(a - b).max(axis=2)
    mean, many = float(apart.mean()), float((apart > _PIXEL).mean())
    return {
        "mean_levels": mean,
        "share_beyond": many,
        "allowed": f"{_MEAN:g} levels of 255 on average, {_FEW:.0%} of the pixels by more than {_PIXEL}",
        "equal": mean <= _MEAN and many <= _FEW,
        "same_renderer": same_renderer,
    }


# ---- training ----


def pairs(setting: Setting, tell: Telling) -> None:
    """Render people to train on until the time is over; whole ones stay."""
    import threading

    from engine.training.flow.make_pairs import main as make_pairs

    people, frames = (1, 4) if setting.short else (64, 16)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    threading.Timer(setting.seconds, lambda: os._exit(0)).start()  # a person is written whole or not at all
    tell(state="done", why="as many as there was time for")
    sys.argv = ["make_pairs", "--out", str(setting.pairs), "--people", str(people), "--frames", str(frames)]
    make_pairs()
    os._exit(0)


def training(stage: Any, setting: Setting, tell: Telling) -> None:
    """A stage of the compact network as `vfa train` runs it, from the shipped weights, for the time given."""
    from engine.flow.ours.shipped import COMPACT_FILE
    from engine.training.flow.sample_options import SampleOptions
    from engine.training.flow.stage_options import LossWeights, StageOptions
    from engine.training.loop.plan import TrainingPlan
    from engine.training.options import TrainOptions
    from engine.training.run import train

    if not any(setting.pairs.glob("*/driver.npy")):
        raise MissingError(f"no rendered pairs in {setting.pairs}; give --pairs")
    out = setting.out / f"train-{stage}"
    shutil.rmtree(out, ignore_errors=True)
    augment = _importable("cv2")
    batch = 2 if setting.short else 32
    plan = TrainingPlan(
        steps=1_000_000, batch=batch, rate=2e-4, schedule="constant", ema=0.99, clip=1.0, keep=1,
        log_every=1 if setting.short else 10, show_every=1_000_000, workers=0 if setting.short or not augment else 4,
    )  # fmt: skip
    learning = StageOptions(
        weights=LossWeights(perceptual=0.0, color_l1=1.0, depth=0.03, flow=0.0 if stage == "code" else 2.0),
        truth_code=stage != "code",
        freeze_encoder=stage == "generator",
    )
    options = TrainOptions(
        stage=stage, data=setting.pairs, out=out, plan=plan, learning=learning, size="compact", init=COMPACT_FILE,
        samples=SampleOptions(augment=augment), device=setting.device, threads=1 if setting.short else 4,
    )  # fmt: skip
    until = time.monotonic() + setting.seconds
    tell(batch=batch, augmented=augment)
    train(options, stop=lambda: time.monotonic() > until)
    tell(**_curve(out / "curve.csv"), checkpoints=[path.name for path in sorted(out.glob("*.pt"))])


def _curve(path: Path) -> dict[str, float]:
    """Steps, speed, and the sum of the losses over the first and the last tenth of the logged steps."""
    import csv

    with path.open(newline="") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    losses = [sum(value for name, value in row.items() if name not in _NO_LOSS) for row in rows]
    tenth = max(1, len(rows) // 10)
    return {
        "steps": rows[-1]["step"],
        "samples_per_s": float(np.median([row["samples_per_s"] for row in rows])),
        "waiting_share": float(np.median([row["waiting_share"] for row in rows])),
        "loss_first": float(np.mean(losses[:tenth])),
        "loss_last": float(np.mean(losses[-tenth:])),
    }


_NO_LOSS = ("step", "samples_per_s", "waiting_share", "rate")

_MESA_ONLY = {"LIBGL_ALWAYS_SOFTWARE": "1"}
if Path(_MESA).is_file():
    _MESA_ONLY["__EGL_VENDOR_LIBRARY_FILENAMES"] = _MESA


def _flows(**most_s: float) -> dict[str, Part]:
    ways = {way.replace("_", "-"): most for way, most in most_s.items()}
    return {
        f"{size}-{way}": Part(partial(flow, size, way), most)
        for way, most in ways.items()
        for size in ("published", "compact")
    }


PARTS: dict[str, Part] = {
    "machine": Part(machine, 30.0),
    **_flows(eager=45.0, cuda_graph=60.0),
    "tracker": Part(tracker, 40.0),
    "head": Part(head, 90.0),
    "drawing": Part(partial(drawing, "drawing"), 60.0),
    "drawing-software": Part(partial(drawing, "drawing-software"), 60.0, _MESA_ONLY),
    "posing": Part(posing, 60.0),
    "engines": Part(engines, 90.0),
    "pairs": Part(pairs, 45.0),
    **_flows(onnxruntime=60.0, compile=90.0, tensorrt=100.0),
    **{f"train-{stage}": Part(partial(training, stage), 150.0) for stage in ("code", "generator", "distill")},
}
"""In the order in which they run: what takes long or may hang comes last."""

TRAINING = [name for name in PARTS if name.startswith("train-")]


def main() -> None:
    name, setting = sys.argv[1], Setting.read(sys.argv[2])
    found: dict[str, Any] = {}

    def tell(**facts: Any) -> None:
        found.update(facts)
        partial_file = setting.result(name).with_suffix(".part")
        partial_file.write_text(json.dumps(found, indent=1) + "\n")
        os.replace(partial_file, setting.result(name))

    try:
        if setting.short:  # the machine may be busy with other things
            import torch

            torch.set_num_threads(1)
        PARTS[name].run(setting, tell)
    except ModuleNotFoundError as error:
        tell(state="missing", why=f"the package {error.name}")
    except (MissingError, InputError, ImportError) as error:
        tell(state="missing", why=str(error))
    except Exception as error:  # whatever a vendor's library raises: the other parts go on
        import traceback

        traceback.print_exc()
        tell(state="failed", why=f"{type(error).__name__}: {error}"[:600])
    else:
        tell(state="done")


if __name__ == "__main__":
    main()
