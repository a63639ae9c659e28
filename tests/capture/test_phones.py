"""Phones that send motion: what is taken, from whom, and what a port tells while nothing good comes."""

import math
import socket
import struct
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from pylivelinkface import FaceBlendShape, PyLiveLinkFace

from calib.person.resting_motion import RestingMotion
from capture.open_source import brings_motion, is_camera, open_motion_source, open_source
from capture.phones import ifacialmocap, live_link, phone_source
from capture.phones.phone_source import PhoneSource
from core.errors import InputError
from core.expression_units import UNIT_NAMES
from core.face_motion import FaceMotion, MotionFrame, with_gaze
from core.rigid_motion import turned
from core.source import DeviceState
from realtime.outputs.greeted_target import GreetedTarget
from realtime.outputs.ifacialmocap import IFacialMocapEncoder
from realtime.outputs.live_link import LiveLinkEncoder, LiveLinkOptions
from realtime.outputs.moment import Moment

PUBLISHED = (  # by the makers of a program that reads it; both eyes look to the person's left, and down
    b"eyeLookIn_R-54|noseSneer_L-5|mouthSmile_R-4|eyeLookUp_R-0|eyeLookDown_L-16|eyeLookOut_R-0|jawOpen-2|"
    b"eyeLookIn_L-0|eyeLookDown_R-16|mouthRight-2|eyeLookOut_L-44|hapihapi-0|"
    b"=head#-1.6704091,-7.3032465,2.886358,0.084120944,0.03458406,-0.4721467|"
    b"rightEye#5.3555145,19.067966,1.8478252|leftEye#5.5607924,15.616646,1.5515244|"
)


@pytest.fixture
def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def phone() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sends:
        sends.bind(("127.0.0.1", 0))
        yield sends


@pytest.fixture
def source(free_port: int) -> Iterator[PhoneSource]:
    opened = open_motion_source(f"livelink:{free_port}")
    assert isinstance(opened, PhoneSource)
    opened.open()
    opened.read(0.0)  # what came before the first read does not count
    yield opened
    opened.close()


def port_of(source: PhoneSource) -> int:
    return int(source.name.rpartition(":")[2])


def packet(jaw: float = 0.5, yaw: float = 0.0, subject: str = "a") -> bytes:
    weights, T = np.zeros(52), np.eye(4)
    weights[UNIT_NAMES.index("jawOpen")] = jaw
    T[:3, :3] = turned(yaw, 0.0, 0.0)
    moment = Moment(FaceMotion(weights, np.zeros((2, 2)), T), 1.0, tracked=True)
    return LiveLinkEncoder(LiveLinkOptions(subject)).packets(moment)[0]


def jaw_of(frame: MotionFrame | None) -> float:
    assert frame is not None
    return float(frame.motion.weights[UNIT_NAMES.index("jawOpen")])


def test_what_another_library_sends_is_read() -> None:
    theirs = PyLiveLinkFace(name="phone", uuid="0" * 36)
    for shape, value in (
        (FaceBlendShape.JawLeft, 0.25),
        (FaceBlendShape.EyeBlinkLeft, 1.0),
        (FaceBlendShape.TongueOut, 0.5),
        (FaceBlendShape.HeadYaw, 0.3),
        (FaceBlendShape.LeftEyeYaw, 0.2),
        (FaceBlendShape.RightEyePitch, 0.1),
    ):
        theirs.set_blendshape(shape, value, no_filter=True)
    read = live_link.read_packet(theirs.encode())
    named = {name: weight for name, weight in zip(UNIT_NAMES, read.weights.tolist(), strict=True) if weight}
    assert named == {"jawLeft": 0.25, "eyeBlinkLeft": 1.0, "tongueOut": 0.5}
    assert read.head == pytest.approx((0.3, 0.0, 0.0))
    np.testing.assert_allclose(read.eyes, [(0.0, 0.1), (0.2, 0.0)], atol=1e-7)
    assert read.sender == "phone"
    motion = read.motion()
    assert motion.T_neutral_head[0, 2] > 0, "the nose points to the person's left"
    np.testing.assert_allclose(motion.gaze, [(0.0, -0.1), (0.2, 0.0)], atol=1e-7)


def test_another_library_reads_what_we_send() -> None:
    gaze = np.array([(0.0, 0.0), (0.2, -0.1)])
    weights, T = np.zeros(52), np.eye(4)
    for name, weight in (("jawLeft", 0.25), ("jawRight", 0.75), ("mouthSmileLeft", 1.0)):
        weights[UNIT_NAMES.index(name)] = weight
    T[:3, :3] = turned(0.3, 0.2, -0.1)
    (sent,) = LiveLinkEncoder().packets(Moment(FaceMotion(with_gaze(weights, gaze), gaze, T), 1.0, tracked=True))
    found, theirs = PyLiveLinkFace.decode(sent)
    assert found
    read = {shape.name: theirs.get_blendshape(shape) for shape in FaceBlendShape}
    assert (read["JawLeft"], read["JawRight"], read["MouthSmileLeft"], read["MouthSmileRight"]) == (0.25, 0.75, 1, 0)
    assert [read[f"Head{way}"] for way in ("Yaw", "Pitch", "Roll")] == pytest.approx([0.3, -0.2, -0.1])
    assert [read[f"LeftEye{way}"] for way in ("Yaw", "Pitch", "Roll")] == pytest.approx([0.2, 0.1, 0.0])
    assert read["EyeLookOutLeft"] > 0 == read["EyeLookInLeft"]


def test_a_phone_s_own_packet_of_text() -> None:
    read = ifacialmocap.read_packet(PUBLISHED)
    assert read.weights[UNIT_NAMES.index("eyeLookInRight")] == 0.54
    assert read.weights[UNIT_NAMES.index("mouthRight")] == 0.02
    assert "tongueOut" in read.missing
    motion = read.motion()
    assert (motion.gaze[:, 0] > 0.2).all(), "to the person's left, as eyeLookIn_R and eyeLookOut_L say"
    assert (motion.gaze[:, 1] < -0.05).all(), "down, as eyeLookDown says"
    assert read.head == pytest.approx([math.radians(angle) for angle in (-7.3032465, -1.6704091, 2.886358)])


def test_the_newest_packet_wins(source: PhoneSource, phone: socket.socket) -> None:
    for jaw in (0.1, 0.2, 0.75):
        phone.sendto(packet(jaw), ("127.0.0.1", port_of(source)))
    frame = source.read(60.0)
    assert jaw_of(frame) == 0.75
    assert source.skipped == 2
    assert source.state is DeviceState.STREAMING
    assert frame is not None
    assert (frame.tracked, frame.index) == (True, 0)
    assert source.read(0.01) is None


def test_what_came_before_the_first_read_is_of_the_past(free_port: int, phone: socket.socket) -> None:
    source = open_motion_source(f"livelink:{free_port}")
    source.open()
    try:
        phone.sendto(packet(0.9), ("127.0.0.1", free_port))
        time.sleep(0.05)
        assert source.read(0.05) is None
        phone.sendto(packet(0.25), ("127.0.0.1", free_port))
        assert jaw_of(source.read(60.0)) == 0.25
    finally:
        source.close()


def test_the_first_phone_is_listened_to_until_it_is_silent(
    source: PhoneSource, phone: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = ("127.0.0.1", port_of(source))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        phone.sendto(packet(0.25), to)
        assert jaw_of(source.read(60.0)) == 0.25
        other.sendto(packet(0.5), to)
        assert source.read(0.2) is None
        assert source.faults["packets of others"] == 1
        monkeypatch.setattr(phone_source, "RELEASE_S", 0.0)
        other.sendto(packet(0.75), to)
        assert jaw_of(source.read(60.0)) == 0.75


def test_what_is_no_face_is_counted_and_becomes_a_state(
    source: PhoneSource, phone: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    to = ("127.0.0.1", port_of(source))
    assert source.state is DeviceState.WAITING_FIRST_FRAME
    assert "needs livelink:0.0.0.0" in source.detail
    not_finite = packet()[:-4] + struct.pack(">f", math.nan)
    for hostile in (b"", b"hello", b"\x06" + b"\xff" * 400, packet()[:-1], not_finite, bytes(9000)):
        phone.sendto(hostile, to)
    for _ in range(6):
        assert source.read(0.1) is None
    assert source.faults["refused packets"] == 6
    assert source.state is DeviceState.DAMAGED
    assert "vfa listen" in source.detail
    assert sum("is refused" in record.message for record in caplog.records) == 1
    phone.sendto(packet(0.5), to)
    assert jaw_of(source.read(60.0)) == 0.5
    assert source.state is DeviceState.STREAMING


def test_a_phone_without_a_face_says_so(source: PhoneSource, phone: socket.socket) -> None:
    without_values = packet()[: 1 + 4 + 36 + 4 + 1]
    phone.sendto(without_values, ("127.0.0.1", port_of(source)))
    frame = source.read(60.0)
    assert frame is not None
    assert not frame.tracked


def test_a_port_in_use_is_a_state_and_is_taken_once_it_is_free(
    free_port: int, phone: socket.socket, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(phone_source, "RETRY_S", 0.0)
    source = open_motion_source(f"livelink:{free_port}")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", free_port))
        source.open()
        assert source.read(0.01) is None
        assert source.state is DeviceState.NO_DEVICE
        assert f"127.0.0.1:{free_port}" in source.detail
    assert source.read(0.01) is None
    phone.sendto(packet(0.5), ("127.0.0.1", free_port))
    assert jaw_of(source.read(60.0)) == 0.5
    assert sum("cannot listen" in record.message for record in caplog.records) == 1
    source.close()
    assert source.state is DeviceState.ENDED


def test_silence_is_a_stall(source: PhoneSource, phone: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    phone.sendto(packet(), ("127.0.0.1", port_of(source)))
    assert source.read(60.0) is not None
    monkeypatch.setattr(phone_source, "STALL_S", 0.0)
    assert source.state is DeviceState.STALLED


def test_a_phone_that_waits_for_a_greeting_is_greeted_and_alone_is_heard(free_port: int, phone: socket.socket) -> None:
    there = phone.getsockname()[1]
    source = open_motion_source(f"ifacialmocap:127.0.0.1:{there}?listen={free_port}")
    source.open()
    try:
        assert source.read(0.01) is None
        phone.settimeout(5)
        greeting, back = phone.recvfrom(256)
        assert greeting == b"iFacialMocap_sahuasouryya9218sauhuiayeta91555dy3719"
        assert back == ("127.0.0.1", free_port)
        phone.sendto(PUBLISHED, back)
        frame = source.read(60.0)
        assert jaw_of(frame) == 0.02
    finally:
        source.close()


def test_our_own_sender_that_waits_for_a_greeting_answers_our_own_source(free_port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        there = free.getsockname()[1]
    target = GreetedTarget(socket.AF_INET, ("127.0.0.1", there))
    source = open_motion_source(f"ifacialmocap:127.0.0.1:{there}?listen={free_port}")
    weights = np.zeros(52)
    weights[UNIT_NAMES.index("jawOpen")] = 0.5
    moment = Moment(FaceMotion(weights, np.zeros((2, 2)), np.eye(4)), 1.0, tracked=True)
    source.open()
    try:
        assert not target.deliver(moment), "nobody has asked"
        assert source.read(0.0) is None
        time.sleep(0.05)
        assert target.deliver(moment)
        assert jaw_of(source.read(60.0)) == 0.5
    finally:
        source.close()
        target.close()


def test_a_packet_of_text_sent_and_read_is_the_same_motion() -> None:
    gaze, T, weights = np.array([(0.1, 0.05), (0.2, -0.1)]), np.eye(4), np.zeros(52)
    weights[UNIT_NAMES.index("mouthSmileRight")] = 0.75
    T[:3, :3], T[:3, 3] = turned(0.3, -0.2, 0.1), (0.01, -0.02, 0.03)
    for version in (1, 2):
        (sent,) = IFacialMocapEncoder(version).packets(Moment(FaceMotion(with_gaze(weights, gaze), gaze, T), 1.0, True))
        read = ifacialmocap.read_packet(sent).motion()
        np.testing.assert_allclose(read.weights, with_gaze(weights, gaze), atol=0.006)
        np.testing.assert_allclose(read.T_neutral_head, T, atol=1e-4)
        np.testing.assert_allclose(read.gaze, gaze, atol=1e-5)


@pytest.mark.parametrize(
    ("device", "told"),
    [
        ("livelink:0", "port from 1"),
        ("livelink:70000", "port from 1"),
        ("livelink:127.0.0.1:1:2", "livelink:PORT"),
        ("livelink:11111?rate=3", "livelink:PORT"),
        ("livelink:no-such-host.invalid:11111", "no host"),
        ("ifacialmocap", "ifacialmocap:HOST"),
        ("ifacialmocap:127.0.0.1?speed=3", "no option but listen"),
        ("ifacialmocap:127.0.0.1:x", "port from 1"),
    ],
)
def test_wrong_phones_are_told(device: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        open_motion_source(device)


def test_phones_are_no_cameras_and_nobody_films_with_them() -> None:
    for device in ("livelink", "livelink:11111", "livelink:0.0.0.0:11111", "ifacialmocap:192.168.0.7"):
        assert brings_motion(device)
        assert not is_camera(device)
        with pytest.raises(InputError, match="vfa-live"):
            open_source(device, realtime=True)
    assert not brings_motion("./livelink")
    assert not brings_motion("webcam:0")


def frame(jaw: float, yaw: float, *, tracked: bool = True) -> MotionFrame:
    read: Callable[[bytes], live_link.FacePacket] = live_link.read_packet
    return MotionFrame(read(packet(jaw, yaw)).motion(), tracked, 0.0, 0)


def test_the_first_face_looks_straight_ahead_and_keeps_its_expression() -> None:
    rest = RestingMotion()
    assert not rest.taken(frame(0.5, 0.3, tracked=False))
    assert not rest.known
    assert not rest.taken(frame(0.5, 0.3)), "nobody asked"
    relative = rest.relative(frame(0.5, 0.3).motion)
    np.testing.assert_allclose(relative.T_neutral_head, np.eye(4), atol=1e-6)
    assert relative.weights[UNIT_NAMES.index("jawOpen")] == pytest.approx(0.5)
    turned_on = rest.relative(frame(0.5, 0.5).motion)
    np.testing.assert_allclose(turned_on.T_neutral_head[:3, :3], turned(0.2, 0, 0), atol=1e-6)


def test_a_neutral_that_was_asked_for_takes_the_face_s_rest_off() -> None:
    rest = RestingMotion()
    rest.request()
    assert rest.taken(frame(0.2, 0.0))
    jaw = UNIT_NAMES.index("jawOpen")
    assert rest.relative(frame(0.2, 0.0).motion).weights[jaw] == pytest.approx(0.0, abs=1e-6)
    assert rest.relative(frame(1.0, 0.0).motion).weights[jaw] == pytest.approx(1.0)
    assert rest.relative(frame(0.6, 0.0).motion).weights[jaw] == pytest.approx(0.5, abs=1e-6)
