from pathlib import Path

import av
import numpy as np
import pytest

from benchmarks.live import at_rate, compared, summarise


def test_figures_stand_beside_the_landmarker_s() -> None:
    report = {
        "fps": {"shown": 29.9},
        "latency_ms": {"capture_to_shown": {"p50": 30.0, "p95": 38.0, "max": 50.0}},
        "cpu_ms_per_frame": {"process": 30.0, "capture": 4.0, "track": 5.0, "lift": 1.0},
    }
    figures = compared(report, 10.0)
    assert figures["track_ms"] == 6.0
    assert figures["of_mediapipe"] == {"track": 0.6, "program": 2.6, "program_and_source": 3.0}
    assert (figures["shown_fps"], figures["mediapipe_ms"]) == (29.9, 10.0)


def test_memory_counts_once_it_has_settled() -> None:
    assert summarise([(float(second), 100.0) for second in range(12)]) == {}
    grown = summarise([(float(second), 900.0 if second <= 10 else 400.0 + second) for second in range(71)])
    assert grown["rss_growth_mb_per_minute"] == pytest.approx(60)
    assert grown["rss_mb"] == {"first_half": 425.5, "second_half": 455.5}


def test_a_video_is_played_at_another_rate(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    with av.open(str(clip), "w") as made:
        stream = made.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for shade in range(30):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 8 * shade, np.uint8), format="rgb24")
            made.mux(stream.encode(picture))
        made.mux(stream.encode(None))
    with av.open(at_rate(str(clip), 60, tmp_path)) as faster:
        times = [frame.time for frame in faster.decode(video=0)]
    assert len(times) == 30
    assert np.diff(times) == pytest.approx(1 / 60, abs=0.0011)  # the copy counts in milliseconds
    assert at_rate("demo", 60, tmp_path) == "demo?fps=60"
