"""`vfa batch`: who does which job when, what a killed run leaves, and the command as a whole."""

import csv
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from core.camera import Intrinsics
from core.errors import InputError
from realtime.batch.journal import NAME, Journal, made_of
from realtime.batch.schedule import Answer, Schedule, Task
from realtime.batch.workers import Message, WorkerProcess
from realtime.batch_command import BatchOptions, Room
from realtime.recording.recording_folder import ANIMATION_NAME, PREVIEW_NAME
from realtime.session.folder_names import MANIFEST_NAME, OBSERVATIONS_NAME
from realtime.threads.worker import Stop
from tests.fakes.forked import started
from tests.fakes.rendered_face import rendered_faces, talk
from tests.realtime.test_cli import _program, call, expect_one_line, faceless_video


class Office:
    """Workers that do what the message says, on a thread each, and who was told what."""

    def __init__(self) -> None:
        self.log: list[tuple[str, str]] = []
        self.answers: dict[str, Answer] = {}
        self.prepared: list[str] = []
        self.at_once = self.most_at_once = 0
        self.workers: list[Desk] = []
        self.refused: set[str] = set()
        self.stop = Stop()

    def run(self, tasks: list[Task], workers: int, **settings: Any) -> None:
        def start(heard: Callable[["Desk", Message | None], None]) -> Desk:
            self.workers.append(Desk(self, heard))
            return self.workers[-1]

        Schedule(tasks, workers, start, self, **settings).run(self.stop)  # type: ignore[arg-type]
        assert all(desk.closed for desk in self.workers)

    def begins(self, task: Task) -> None:
        if task.name in self.refused:
            raise InputError(f"{task.name}: no room")
        self.log.append(("begins", task.name))
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)

    def goes_on(self, task: Task, doing: str, done: int, total: int | None) -> None:
        self.log.append(("goes on", task.name))

    def ended(self, answer: Answer) -> None:
        self.log.append(("ended", answer.task.name))
        self.at_once -= ("begins", answer.task.name) in self.log
        assert answer.task.name not in self.answers, "each job is answered once"
        self.answers[answer.task.name] = answer


class Desk:
    """A worker of an `Office`."""

    def __init__(self, office: Office, heard: Callable[["Desk", Message | None], None]) -> None:
        self._office, self._heard = office, heard
        self._heads: set[str] = set()
        self.closed = self._ending = False

    def send(self, job: Message) -> None:
        threading.Thread(target=self._do, args=(job,), daemon=True).start()

    def _do(self, job: Message) -> None:
        fate, head = job["fate"], job["head"]
        if fate == "dies":
            self._heard(self, None)
            return
        if head not in self._office.prepared or fate == "no head":
            self._office.prepared.append(head)
            time.sleep(0.05)
        if fate == "no head":
            self._heard(self, {"event": "failed", "error": "no face", "files": [], "warnings": [], "head": True})
            return
        self._heard(self, {"event": "avatar"})
        self._heard(
            self, {"event": "progress", "doing": "animating", "done": 1, "total": None, "held_bytes": job["takes"]}
        )
        if fate == "interrupts":
            self._office.stop.request()
        while fate in ("hangs", "interrupts") and not self._ending:
            time.sleep(0.01)
        event = {"good": "done", "bad": "failed", "hangs": "interrupted", "interrupts": "interrupted"}[fate]
        self._heard(
            self, {"event": event, "error": fate, "frames": 3, "files": ["x"], "warnings": ["w"], "head": False}
        )
        if self._ending:
            self._heard(self, None)

    def end_soon(self) -> None:
        self._ending = True

    def close(self, patience_s: float) -> None:
        self.closed = True

    def last_words(self) -> str:
        return "was ended by SIGSEGV"


def task(name: str, head: str, fate: str = "good", takes: int = 0) -> Task:
    return Task(name, head, {"fate": fate, "head": head, "takes": takes})


def test_a_job_that_does_not_move_on_is_given_up_and_the_others_are_done() -> None:
    office = Office()
    office.run([task("a", "x", "hangs"), task("b", "x"), task("c", "y")], 2, timeout_s=0.5)
    errors = {name: answer.error for name, answer in office.answers.items()}
    assert "did not move on for 0.5 s" in errors["a"]
    assert (errors["b"], errors["c"]) == ("", "")


def test_a_timeout_that_is_none_is_told() -> None:
    with pytest.raises(InputError, match="--timeout 0: expected 1 to"):
        BatchOptions(list=Path("l.csv"), out=Path("o"), timeout=0)


def test_no_more_workers_begin_than_the_memory_has_room_for() -> None:
    told: list[tuple[list[int], int]] = []

    def room(held: list[int], most: int) -> bool:
        told.append((held, most))
        return False

    office = Office()
    office.run([task(name, "x", takes=5) for name in "abc"], 3, room=room)
    assert len(office.workers) == 1, "one there always is"
    assert len(office.answers) == 3
    assert told[-1][1] == 5, "by what a job does take"
    room_of = Room(100, lambda: 150)
    assert room_of([], 0)
    assert not room_of([10], 0), "the one that began a moment ago will take 90 more"
    assert room_of([40], 40), "measured: 40 each"
    assert not room_of([40, 20], 90)


def test_each_head_is_prepared_once_however_many_workers() -> None:
    office = Office()
    office.run([task(f"{clip}-{head}", head) for clip in range(6) for head in "abc"], 4)
    assert sorted(office.prepared) == ["a", "b", "c"]
    assert len(office.answers) == 18
    assert not any(answer.error and answer.error != "good" for answer in office.answers.values())
    assert office.most_at_once <= 4
    assert len(office.workers) <= 4


def test_what_fails_fails_alone() -> None:
    office = Office()
    office.refused = {"r"}
    office.run(
        [task("a", "x"), task("b", "x", "bad"), task("c", "x", "dies"), task("d", "y"), task("r", "y"), task("e", "x")],
        2,
    )
    errors = {name: answer.error for name, answer in office.answers.items()}
    assert errors == {
        "a": "", "b": "bad", "c": "its process was ended by SIGSEGV", "d": "", "r": "r: no room", "e": "",
    }  # fmt: skip
    assert office.answers["a"].files == ("x",)
    assert office.answers["b"].warnings == ("w",)


def test_a_head_that_cannot_be_prepared_is_tried_once() -> None:
    office = Office()
    office.run([task("a", "x", "no head"), task("b", "x"), task("c", "y"), task("d", "x")], 3)
    assert office.prepared.count("x") == 1
    assert {name: answer.error for name, answer in office.answers.items()} == {
        "a": "no face", "b": "no face", "c": "", "d": "no face",
    }  # fmt: skip


def test_a_head_whose_process_dies_is_tried_again_by_the_next() -> None:
    office = Office()
    office.run([task("a", "x", "dies"), task("b", "x")], 2)
    assert {name: answer.error for name, answer in office.answers.items()} == {
        "a": "its process was ended by SIGSEGV", "b": "",
    }  # fmt: skip


def test_a_wish_to_end_interrupts_what_is_at_work_and_begins_nothing_more() -> None:
    office = Office()
    office.run([task("a", "x", "hangs"), task("b", "y", "interrupts"), task("c", "x"), task("d", "z")], 2)
    assert {name for name, answer in office.answers.items() if answer.interrupted} == {"a", "b"}
    assert {name for what, name in office.log if what == "begins"} == {"a", "b"}


ECHO = """
import json, os, sys
for line in sys.stdin:
    job = json.loads(line)
    if job["fate"] == "dies":
        print("out of luck", file=sys.stderr, flush=True)
        os.kill(os.getpid(), 9)
    print("no message", flush=True)
    print(json.dumps({"event": "done", "threads": os.environ["OMP_NUM_THREADS"], **job}), flush=True)
"""


def worker() -> tuple[WorkerProcess, list[Message | None], threading.Event]:
    heard: list[Message | None] = []
    ended = threading.Event()

    def hear(_: WorkerProcess, message: Message | None) -> None:
        heard.append(message)
        if message is None:
            ended.set()

    return WorkerProcess(hear, 3, (sys.executable, "-c", ECHO)), heard, ended


def test_a_worker_answers_until_its_input_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    process, heard, ended = worker()
    process.send({"fate": "good", "name": "é"})
    process.send({"fate": "good", "name": "b"})
    process.end_soon()
    assert ended.wait(60)
    assert [message and (message["name"], message["threads"]) for message in heard] == [("é", "3"), ("b", "3"), None]
    process.close(10)
    process.close(10)


def test_the_last_words_of_a_worker_that_dies() -> None:
    process, heard, ended = worker()
    process.send({"fate": "dies"})
    assert ended.wait(60)
    words = process.last_words()
    assert heard == [None]
    for fragment in ("SIGKILL", "fewer --jobs", "out of luck"):
        assert fragment in words
    process.send({"fate": "good"})  # to nobody, and no error
    process.close(10)


def test_a_journal_tells_what_is_finished(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"one")
    digest = made_of({"film": ("grid",)}, [clip, tmp_path / "none"])
    assert digest == made_of({"film": ("grid",)}, [clip, tmp_path / "none"])
    assert digest != made_of({"film": ("both",)}, [clip, tmp_path / "none"])
    folder = tmp_path / "job"
    Journal("done", digest, ("animation.npz",), 3, 1.5, "", ("dark",)).write(folder)
    journal = Journal.read(folder)
    assert journal == Journal("done", digest, ("animation.npz",), 3, 1.5, "", ("dark",))
    assert not journal.is_finished(folder, digest), "what it made is gone"
    (folder / "animation.npz").touch()
    assert journal.is_finished(folder, digest)
    clip.write_bytes(b"another")
    assert not journal.is_finished(folder, made_of({"film": ("grid",)}, [clip, tmp_path / "none"]))
    for state in ("begun", "failed"):
        assert not Journal(state, digest, ("animation.npz",)).is_finished(folder, digest)  # type: ignore[arg-type]
    journal.emptied(folder)
    assert [path.name for path in folder.iterdir()] == [NAME]


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[1]", '{"state": 3}', json.dumps({**Journal("done", "x").__dict__, "files": ["../clip.mp4"]})],
)
def test_a_journal_that_is_none_is_none(content: str, tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(content)
    assert Journal.read(tmp_path) is None


def test_a_folder_s_recording_changes_with_its_files(tmp_path: Path) -> None:
    (tmp_path / "color").mkdir()
    (tmp_path / "color" / "0.jpg").write_bytes(b"1")
    before = made_of({}, [tmp_path])
    (tmp_path / "color" / "1.jpg").write_bytes(b"1")
    assert made_of({}, [tmp_path]) != before


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def face_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "face.mp4"
    frames = rendered_faces(Intrinsics(400.0, 400.0, 160.0, 120.0, 320, 240), turn_deg=0.0, expressions=talk(8))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.height, stream.width = frames[0].rgb.shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame.rgb, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def outcomes(out: Path) -> dict[str, tuple[str, int]]:
    with (out / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    told = json.loads((out / "results.json").read_text())
    assert [row["job"] for row in told] == [row["job"] for row in rows]
    return {row["job"]: (row["outcome"], int(row["frames"])) for row in rows}


@pytest.mark.usefixtures("lowpoly")
def test_a_batch_does_what_it_can_and_goes_on_where_it_was(face_clip: Path, tmp_path: Path) -> None:
    faceless_video(tmp_path / "wall.mp4")
    (tmp_path / "list.csv").write_text(
        "driving,avatar,film,size,target-frame\n"
        f"wall.mp4,lowpoly,,,\n{face_clip},lowpoly,avatar,64 64,\n"
        f"gone.mp4,lowpoly,,,\n{face_clip},lowpoly,both,64 64,5\n"
    )
    out = tmp_path / "out"
    first = call("vfa", "batch", tmp_path / "list.csv", "--out", out, "--jobs", 2)
    assert first.returncode == 1, first.stderr
    assert "Traceback" not in first.stderr
    expected = {
        "wall--lowpoly": ("failed", 0), "face--lowpoly": ("done", 8), "gone--lowpoly": ("failed", 0),
        "face--lowpoly-2": ("done", 1),
    }  # fmt: skip
    assert outcomes(out) == expected
    for fragment in ("wall.mp4: expected a face", "gone.mp4: there is no such recording", "2 done, 2 failed"):
        assert fragment in first.stderr
    written = {NAME, ANIMATION_NAME, PREVIEW_NAME, MANIFEST_NAME, OBSERVATIONS_NAME}
    assert {path.name for path in (out / "face--lowpoly").iterdir()} == written
    stills = {"5_driving.png", "5_animated.png"}
    assert {path.name for path in (out / "face--lowpoly-2").iterdir()} == {NAME, ANIMATION_NAME, *stills}
    with np.load(out / "face--lowpoly" / ANIMATION_NAME, allow_pickle=False) as archive:
        assert len(archive["vertices"]) == 8

    made = (out / "face--lowpoly" / ANIMATION_NAME).stat().st_mtime_ns
    (out / "face--lowpoly-2" / "5_driving.png").unlink()
    faceless_video(out / "wall--lowpoly" / PREVIEW_NAME)  # a killed run's, by its journal
    again = call("vfa", "batch", tmp_path / "list.csv", "--out", out)
    assert again.returncode == 1, again.stderr
    assert outcomes(out) == {**expected, "face--lowpoly": ("done before", 8)}
    assert (out / "face--lowpoly" / ANIMATION_NAME).stat().st_mtime_ns == made
    assert (out / "face--lowpoly-2" / "5_driving.png").is_file()


@pytest.mark.usefixtures("lowpoly")
def test_a_recording_that_is_no_batch_s_is_left_alone(tmp_path: Path) -> None:
    faceless_video(tmp_path / "wall.mp4")
    (tmp_path / "list.csv").write_text("driving,avatar,out\nwall.mp4,lowpoly,mine\n")
    mine = tmp_path / "out" / "mine" / ANIMATION_NAME
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"my own")
    result = call("vfa", "batch", tmp_path / "list.csv", "--out", tmp_path / "out")
    assert result.returncode == 1
    assert "not of a batch" in result.stderr
    assert mine.read_bytes() == b"my own"
    assert not (mine.parent / NAME).exists()


def test_lists_that_are_none_end_in_one_line(tmp_path: Path) -> None:
    out = tmp_path / "out"
    expect_one_line(call("vfa", "batch", tmp_path / "none.csv", "--out", out), "none.csv", "no such file")
    (tmp_path / "list.csv").write_text("driving,avatar,engine\na.mp4,lowpoly,floow\n")
    expect_one_line(call("vfa", "batch", tmp_path / "list.csv", "--out", out), "line 2", "floow")
    assert not out.exists()


@pytest.mark.usefixtures("lowpoly")
def test_ctrl_c_ends_a_batch_in_order(face_clip: Path, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("driving,avatar\n" + f"{face_clip},lowpoly\n" * 40)
    out, told = tmp_path / "out", [tmp_path / "stdout", tmp_path / "stderr"]
    arguments = ("batch", tmp_path / "list.csv", "--out", out, "--jobs", 1)
    with started(_program("vfa"), *arguments, told=told) as program:
        until_s = time.monotonic() + 120
        while time.monotonic() < until_s:
            if (out / "results.csv").exists() and ("done", 8) in outcomes(out).values():
                break
            time.sleep(0.05)
        os.kill(program.pid, signal.SIGINT)
        assert program.wait() == 130
    assert told[1].read_text().strip().splitlines()[-1] == "ended by Ctrl-C"
    done = {name for name, (outcome, _) in outcomes(out).items() if outcome == "done"}
    assert 1 <= len(done) < 40
    assert {outcome for outcome, _ in outcomes(out).values()} == {"done", "not done"}
    whole = {path.parent.name for path in out.glob(f"*/{ANIMATION_NAME}")}
    assert whole == done, "what was at work left nothing that looks finished"
    assert not list(out.glob("*/*partial*"))
    assert not list(out.glob(".batch.lock"))
