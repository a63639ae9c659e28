"""Depth registered to colour and cleaned: milliseconds a frame, and agreement with the Azure Kinect's own library.

    python -m benchmarks.registration --json registration.json [--recording FILE.mkv]

Takes the first capture of a real recording. The library's own registration, the oracle, runs in `.venv-kinect` under
Xvfb. Writes `ms` (640x576 → 1280x720, as the live path does it), `ms_with_lens` (to the colour picture as captured),
`cleaning_ms`, `agreement_with_sdk` (of the pixels both have: ours within a pixel is within 1 %), `coverage_of_sdk`, and
the same without the colour camera's lens.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import in_turn
from capture.cameras.depth_cleaning import DepthCleaner
from capture.cameras.kinect_calibration import parse_calibration
from capture.cameras.registration import DepthRegistration

ROOT = Path(__file__).parents[1]
KINECT_PYTHON = ROOT / ".venv-kinect" / "bin" / "python"
RECORDING = ROOT.parent / "shared" / "data" / "rgbd" / "pyk4a_recording.mkv"
MODES = ("NFOV_UNBINNED", "720P")
ROUNDS = 100


def write_oracle(recording: Path, result: Path) -> None:
    """In the second environment: the depth, and what the library makes of it with the colour lens and without."""
    import pyk4a

    playback = pyk4a.PyK4APlayback(recording, thread_safe=False)
    playback.open()
    factory = playback.calibration_raw.rstrip("\0")
    answers: dict[str, Any] = {"calibration": factory, "straight_calibration": without_color_lens(factory)}
    for name in ("calibration", "straight_calibration"):
        playback.calibration_raw = answers[name]
        playback.seek(0)
        capture = playback.get_next_capture()
        answers["depth_mm"], answers[f"{name}_depth"] = capture.depth, capture.transformed_depth
    np.savez(result, **answers)


def without_color_lens(text: str) -> str:
    """The same camera with its colour lens taken out: what the live path registers to."""
    content = json.loads(text)
    for camera in content["CalibrationInformation"]["Cameras"]:
        if camera["Purpose"] == "CALIBRATION_CameraPurposePhotoVideo":
            camera["Intrinsics"]["ModelParameters"][4:] = [0.0] * 10
    return json.dumps(content)


def measure(oracle: dict[str, Any]) -> dict[str, float]:
    depth_m = oracle["depth_mm"].astype(np.float32) / 1000
    factory = parse_calibration(str(oracle["calibration"]), *MODES, name="recording")
    straight = parse_calibration(str(oracle["straight_calibration"]), *MODES, name="recording")
    live, with_lens = DepthRegistration(factory), DepthRegistration(factory, lens=True)
    clean = DepthCleaner.for_kinect()
    ms = in_turn(
        {"live": lambda: live(depth_m), "lens": lambda: with_lens(depth_m), "clean": lambda: clean(depth_m)}, ROUNDS
    )
    agreeing, covered = agreement(with_lens(depth_m), oracle["calibration_depth"].astype(np.float64))
    agreeing_straight, covered_straight = agreement(
        DepthRegistration(straight)(depth_m), oracle["straight_calibration_depth"].astype(np.float64)
    )
    return {
        "ms": round(ms["live"], 3),
        "ms_with_lens": round(ms["lens"], 3),
        "cleaning_ms": round(ms["clean"], 3),
        "agreement_with_sdk": round(agreeing, 5),
        "coverage_of_sdk": round(covered, 5),
        "agreement_with_sdk_without_lens": round(agreeing_straight, 5),
        "coverage_of_sdk_without_lens": round(covered_straight, 5),
    }


def agreement(ours_m: np.ndarray, theirs_mm: np.ndarray) -> tuple[float, float]:
    """Of the pixels both have: where ours within a pixel is within 1 %. Of theirs: the share that we have."""
    both = (ours_m > 0) & (theirs_mm > 0)
    near = np.full(ours_m.shape, np.inf)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            shifted = np.roll(ours_m, (down, right), (0, 1)) * 1000.0
            off = np.abs(shifted - theirs_mm) / np.maximum(theirs_mm, 1)
            near = np.minimum(near, np.where(shifted > 0, off, np.inf))
    return float((near[both] <= 0.01).mean()), float(both.sum() / (theirs_mm > 0).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recording", type=Path, default=RECORDING)
    parser.add_argument("--oracle", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.oracle:
        write_oracle(options.recording, options.oracle)
        return
    if not KINECT_PYTHON.exists():
        sys.exit(f"no {KINECT_PYTHON}: run  .ci/kinect-env .venv .venv-kinect")
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "oracle.npz"
        command = ["xvfb-run", "-a", str(KINECT_PYTHON), "-m", "benchmarks.registration"]
        subprocess.run([*command, "--recording", str(options.recording), "--oracle", str(result)], cwd=ROOT, check=True)
        report = measure(dict(np.load(result)))
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
