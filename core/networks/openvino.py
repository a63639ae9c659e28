"""OpenVINO on the CPU: how it is imported, and how what it compiles is kept between starts."""

import importlib
import io
import logging
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from core.errors import last_line as last_line
from core.networks.engine_cache import CacheEntry

log = logging.getLogger(__name__)


def library() -> ModuleType:
    """OpenVINO, kept from sending usage statistics to its makers, which it does unasked. Raises ImportError."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # documented: makes its import fail
    return importlib.import_module("openvino")


def processor() -> str:
    """The name of the CPU, which a compiled network is made for."""
    return str(library().Core().get_property("CPU", "FULL_DEVICE_NAME"))


def compiled_model(make: Callable[[], Any], settings: dict[str, Any], entry: CacheEntry | None) -> Any:
    """A model compiled for the CPU: the one kept in `entry`, or made, compiled and kept there.

    Args:
        make: gives the OpenVINO model where none is kept.
        settings: of OpenVINO's CPU plugin. They belong into the entry's facts.
        entry: where it is kept; None to keep nothing.

    Raises RuntimeError where OpenVINO refuses the model.
    """
    core = library().Core()
    kept = None if entry is None else _kept(core, entry, settings)
    if kept is not None:
        return kept
    compiled = core.compile_model(make(), "CPU", settings)
    if entry is not None:
        entry.write(lambda path: path.write_bytes(compiled.export_model().getvalue()))
    return compiled


def _kept(core: Any, entry: CacheEntry, settings: dict[str, Any]) -> Any | None:
    content = entry.content()
    if content is None:
        return None
    try:
        return core.import_model(io.BytesIO(content.tobytes()), "CPU", settings)
    except RuntimeError as error:
        log.warning("%s: does not load (%s); compiling again", entry.path, last_line(error))
        return None
