"""Traces of sessions: what they hold, and that programs which show them find what the format promises."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from calib.avatar import Avatar
from capture.face.face_tracker import FaceTracker
from capture.synthetic.performer.performer import PerformerSource
from core.errors import InputError
from core.spans import measured_by, span
from engine.landmark.landmark_engine import LandmarkEngine
from realtime.live.circumstances import circumstances
from realtime.live.session import LiveSession
from realtime.threads.timing import SectionTimes
from realtime.threads.trace import Trace
from realtime.threads.worker import Stop
from render.window.viewer import Viewer

Event = dict[str, Any]


def read(path: Path) -> tuple[list[Event], dict[str, Any]]:
    content = json.loads(path.read_text())
    return content["traceEvents"], content["otherData"]


def spans_of(events: list[Event]) -> list[Event]:
    return [event for event in events if event["ph"] == "X"]


def parents(events: list[Event]) -> dict[str, set[str]]:
    """{name of a span: names of those it lies within}; fails where two of a thread overlap without nesting."""
    found: dict[str, set[str]] = {}
    for thread in {event["tid"] for event in events}:
        around: list[Event] = []
        mine = [event for event in events if event["tid"] == thread]
        for event in sorted(mine, key=lambda e: (e["ts"], -e["dur"])):
            while around and event["ts"] >= around[-1]["ts"] + around[-1]["dur"]:
                around.pop()
            if around:  # times are rounded to a tenth of a microsecond
                assert event["ts"] + event["dur"] <= around[-1]["ts"] + around[-1]["dur"] + 0.5
            found.setdefault(event["name"], set()).update(outer["name"] for outer in around)
            around.append(event)
    return found


@pytest.fixture(scope="module")
def traced(lowpoly: Avatar, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Event], dict[str, Any]]:
    """A session of some frames, ended in the middle as by Ctrl-C."""
    trace, stop = Trace(), Stop()
    session = LiveSession(PerformerSource(), FaceTracker, LandmarkEngine, stop, trace=trace)

    class Ended(Viewer):
        def show(self, *pose: Any) -> None:
            super().show(*pose)
            if session.shown >= 12:
                stop.request(by_signal=2)

    session.start()
    try:
        with Ended(lowpoly.display_mesh, (160, 120), headless=True) as viewer:
            session.run(lowpoly, viewer)
    finally:
        session.shut_down()
    path = tmp_path_factory.mktemp("trace") / "new folder" / "trace.json"
    trace.write(path, {**circumstances("demo", "/home/somebody/head.glb"), "renderer": "a renderer"})
    return read(path)


def test_spans_nest_and_say_what_each_thread_does(traced: tuple[list[Event], dict[str, Any]]) -> None:
    events, _ = traced
    within = parents(spans_of(events))
    assert {"read", "wait for a frame", "wait for a pose", "track", "animate", "render", "upload", "draw"} <= set(
        within
    )
    assert within["lift"] == within["landmarks"] == {"track"}
    assert within["upload"] == within["draw"] == {"render"}
    threads = {event["tid"]: event["args"]["name"] for event in events if event.get("name") == "thread_name"}
    where = {event["name"]: threads[event["tid"]] for event in spans_of(events)}
    assert (where["read"], where["track"], where["animate"]) == ("capture", "inference", "inference")
    assert where["render"] == threading.main_thread().name


def test_a_frame_can_be_followed_through_the_threads(traced: tuple[list[Event], dict[str, Any]]) -> None:
    spans = spans_of(traced[0])
    frames = {
        name: [event["args"]["frame"] for event in spans if event["name"] == name and "frame" in event["args"]]
        for name in ("read", "track", "animate", "render")
    }
    assert len(frames["render"]) >= 12
    assert set(frames["render"]) <= set(frames["animate"]) <= set(frames["track"]) <= set(frames["read"])


def test_counters_and_circumstances_are_in_it(traced: tuple[list[Event], dict[str, Any]]) -> None:
    events, about = traced
    counted = {event["name"]: event["args"] for event in events if event["ph"] == "C"}
    assert counted["picture"] == {"width": 160, "height": 120}
    assert set(counted["waiting"]) == {"frames", "poses"}
    assert counted["dropped"]["frames"] >= 0
    assert about["renderer"] == "a renderer"
    assert about["versions"]["numpy"].startswith("2.")
    assert about["machine"]["cores"] >= 1
    assert about["avatar"]["name"] == "head.glb", "nothing of where it lies"


def test_the_newest_events_are_kept(tmp_path: Path) -> None:
    trace = Trace(most_events=3)
    for frame in range(10):
        trace.add_span("track", 0.0, 0.001, 0.001, frame)
    trace.write(tmp_path / "trace.json", {})
    events, _ = read(tmp_path / "trace.json")
    assert [event["args"]["frame"] for event in spans_of(events)] == [7, 8, 9]
    assert any("7 earlier events" in str(event["args"]) for event in events if event["name"] == "process_labels")


def test_a_trace_of_nothing_is_one(tmp_path: Path) -> None:
    Trace().write(tmp_path / "trace.json", {})
    assert read(tmp_path / "trace.json") == ([], {})


def test_where_it_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="trace cannot be written"):
        Trace().write(tmp_path / "file" / "trace.json", {})


def test_spans_of_other_threads_are_not_measured() -> None:
    times = SectionTimes()

    def other() -> None:
        with span("other"):
            pass

    with measured_by(times.section):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        with span("own"):
            pass
    with span("afterwards"):
        pass
    assert list(times.summary_ms()) == ["own"]
