"""Speed of the whole live loop: what `vfa-live` reports on a clip, on this machine.

    python benchmarks/live.py --device CLIP --avatar HEAD --seconds 60 --json FILE

Runs `vfa-live` in a process of its own, samples its memory once a second, and adds to the report:
`rss_mb` {first_half, second_half} (means after the first ten seconds) and `rss_growth_mb_per_minute` (a least-squares
slope over the same samples).
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

SETTLING_S = 10.0


def sample_memory(process: subprocess.Popen[bytes]) -> list[tuple[float, float]]:
    """(seconds since start, resident MB) once a second until the process ends."""
    started, watched, samples = time.monotonic(), psutil.Process(process.pid), []
    while process.poll() is None:
        try:
            samples.append((time.monotonic() - started, watched.memory_info().rss / 1e6))
        except psutil.NoSuchProcess:
            break
        time.sleep(1)
    return samples


def summarise(samples: list[tuple[float, float]]) -> dict[str, object]:
    times, sizes = np.array([sample for sample in samples if sample[0] > SETTLING_S]).T
    half = len(sizes) // 2
    return {
        "rss_mb": {
            "first_half": round(float(sizes[:half].mean()), 1),
            "second_half": round(float(sizes[half:].mean()), 1),
        },
        "rss_growth_mb_per_minute": round(float(np.polyfit(times, sizes, 1)[0]) * 60, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="demo")
    parser.add_argument("--avatar", default="realistic")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-c", "from realtime.cli import live_main; live_main()", "--headless"]
        command += ["--device", options.device, "--avatar", options.avatar, "--seconds", str(options.seconds)]
        process = subprocess.Popen([*command, "--report", str(report)])
        samples = sample_memory(process)
        if process.returncode != 0:
            sys.exit(process.returncode)
        figures = json.loads(report.read_text()) | summarise(samples)
    options.json.write_text(json.dumps(figures, indent=2) + "\n")
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
