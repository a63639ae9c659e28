"""The parts of `benchmarks.gpu`, each for a process of its own. Only PyTorch and NumPy are taken for granted.

`python -m benchmarks.gpu_parts NAME SETTING` runs one; what it finds goes into its JSON file as it is found.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.gpu_networks import flow
from benchmarks.gpu_program import drawing, engines, head, posing, tracker
from benchmarks.gpu_setting import MissingError, Part, Setting, Telling, importable, nvidia_smi
from benchmarks.gpu_training import pairs, training
from core.errors import InputError

_MESA = "/usr/share/glvnd/egl_vendor.d/50_mesa.json"


def machine(setting: Setting, tell: Telling) -> None:
    import torch

    tell(python=platform.python_version(), torch=torch.__version__, cpu=_processor(), cores=os.cpu_count())
    tell(cuda=torch.version.cuda, cudnn=torch.backends.cudnn.version())
    names = ("scipy", "cv2", "moderngl", "mediapipe", "openvino", "onnxruntime", "onnxscript", "tensorrt")
    tell(importable={name: importable(name) for name in (*names, "torch_tensorrt", "triton", "tyro", "platformdirs")})
    if setting.device == "cuda":
        if not torch.cuda.is_available():
            raise MissingError("no CUDA device is visible to PyTorch")
        facts = torch.cuda.get_device_properties(0)
        tell(gpu=facts.name, capability=f"{facts.major}.{facts.minor}", gpu_bytes=facts.total_memory)
        tell(gpu_processors=facts.multi_processor_count, nvidia_smi=nvidia_smi())


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


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
