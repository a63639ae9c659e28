"""Who is sent to, and who listens: addresses, sockets, what comes from strangers."""

import asyncio
import contextlib
import json
import math
import socket
import time
from collections.abc import Iterator

import numpy as np
import pytest

from capture.face.face_model_file import find_face_model
from capture.phones import ifacialmocap as phone_text
from capture.phones import live_link as phone_packets
from capture.phones.packet import DamagedPacketError
from core.canonical_face import load_canonical_face
from core.errors import InputError
from core.expression_units import UNIT_NAMES
from engine.motion.protocol import AvatarPose
from realtime import listen_command
from realtime.outputs.address import Address
from realtime.outputs.face_points import FacePoints
from realtime.outputs.ifacialmocap import IFacialMocapEncoder
from realtime.outputs.live_link import LiveLinkEncoder
from realtime.outputs.moment import Moment
from realtime.outputs.open_see_face import OpenSeeFaceEncoder
from realtime.outputs.output import open_output
from realtime.outputs.script_json import JsonEncoder
from realtime.outputs.sender import MotionSender
from realtime.outputs.vmc import VmcEncoder
from realtime.outputs.websocket_target import WebSocketTarget
from realtime.threads.worker import Stop
from tests.realtime.test_outputs import moment, motion


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("127.0.0.1:39539", "before ://"),
        ("vcm://127.0.0.1", "before ://"),
        ("vmc://", "expected a host"),
        ("livelink:", "write livelink://127.0.0.1:11111"),
        ("vmc:192.168.0.7:39539", "// is missing after vmc:, write vmc://192.168.0.7:39539"),
        ("vmc://127.0.0.1:0", "port 0"),
        ("vmc://127.0.0.1:99999", "cannot be read"),
        ("vmc://127.0.0.1?speed=3", "leave it out"),
        ("livelink://127.0.0.1?subject=", "subject"),
        ("vmc://127.0.0.1?rate=0", "rate=N"),
        ("vmc://127.0.0.1?mirror=2", "mirror=0 or 1"),
    ],
)
def test_wrong_addresses_are_told(given: str, told: str) -> None:
    with pytest.raises(InputError, match=told) as error:
        Address.parse(given)
    assert "--send" in str(error.value)


@pytest.mark.parametrize("packet", [b"", b"\x06", b"\x05" * 400, b"\x06" + b"\xff" * 400, b"\x06" + bytes(8) + b"\xff"])
def test_hostile_live_link_packets(packet: bytes) -> None:
    try:
        assert not phone_packets.read_packet(packet).tracked
    except DamagedPacketError:
        return


@pytest.mark.parametrize("packet", [b"", b"\xff" * 9000, b"jawOpen-nan|", b"|" * 5000, b"jawOpen-....|"])
def test_hostile_text_packets(packet: bytes) -> None:
    with pytest.raises(DamagedPacketError):
        phone_text.read_packet(packet)


@pytest.fixture
def receiver() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heard:
        heard.bind(("127.0.0.1", 0))
        heard.settimeout(10)
        yield heard


def pose(jaw: float, time_s: float) -> AvatarPose:
    return AvatarPose(np.zeros((1, 3), np.float32), np.eye(4), time_s, 0, True, motion=motion(jawOpen=jaw))


def test_the_sender_serves_whoever_listens_and_tells_once_of_who_does_not(receiver: socket.socket) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        nobody = gone.getsockname()[1]
    port, stop = receiver.getsockname()[1], Stop()
    addresses = [f"livelink://127.0.0.1:{nobody}", f"livelink://127.0.0.1:{port}"]
    sender = MotionSender([open_output(Address.parse(each)) for each in addresses], stop)
    sender.start()
    read = []
    for number in range(4):
        sender.put(pose(0.25 * number, number / 30))
        read.append(phone_packets.read_packet(receiver.recv(2048)))
    sender.close()
    jaws = [each.weights[UNIT_NAMES.index("jawOpen")] for each in read]
    assert jaws[0] == 0.0
    assert max(jaws) >= 0.25
    told = [sender.take_notice() for _ in range(4)]
    assert sum(each is not None and "nobody listens there" in each for each in told) == 1
    assert not stop.requested
    lost, well = sender.report()
    assert (lost.failed > 0, well.failed, well.sent >= 4) == (True, 0, True)
    receiver.settimeout(0.2)
    last = b""
    try:
        while True:
            last = receiver.recv(2048)
    except TimeoutError:
        pass
    assert not phone_packets.read_packet(last).weights.any(), "the last one is at rest"


def test_a_script_reads_from_the_web_socket() -> None:
    from websockets.asyncio.client import connect

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    sender = MotionSender([open_output(Address.parse(f"ws://127.0.0.1:{port}"))], Stop())
    sender.start()

    async def heard() -> str:
        async with connect(f"ws://127.0.0.1:{port}") as client:
            while True:
                sender.put(pose(0.5, 0.0))
                try:
                    return str(await asyncio.wait_for(client.recv(), 0.2))
                except TimeoutError:
                    continue

    async def retried() -> str:
        for _ in range(600):
            try:
                return await heard()
            except OSError:
                await asyncio.sleep(0.1)
        raise AssertionError("nobody listens")

    try:
        assert json.loads(asyncio.run(retried()))["units"]["jawOpen"] == 0.5
    finally:
        sender.close()


def test_pages_of_other_sites_read_no_face_and_clients_end_with_the_server() -> None:
    from websockets.exceptions import ConnectionClosed, InvalidStatus
    from websockets.sync.client import connect

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    target = WebSocketTarget(JsonEncoder(), "127.0.0.1", port, origin="https://mine.example")
    url = f"ws://127.0.0.1:{port}"
    for _ in range(600):
        with contextlib.suppress(OSError), connect(url):
            break
        time.sleep(0.1)
    for origin in ("https://elsewhere.example", "null", "http://localhost.elsewhere.example"):
        with pytest.raises(InvalidStatus), connect(url, origin=origin):  # type: ignore[arg-type]
            pass
    for origin in ("http://localhost:3000", "https://mine.example"):
        with connect(url, origin=origin):  # type: ignore[arg-type]
            pass
    with connect(url) as client:
        target.close()
        assert not target._thread.is_alive(), "a client that only listens does not hold it up"
        with pytest.raises(ConnectionClosed):
            client.recv(60)


@pytest.mark.parametrize("greets", [True, False], ids=["never read", "never say anything"])
def test_clients_that_hang_do_not_hold_up_the_end(greets: bool) -> None:
    """They kept the server's thread for eleven seconds and more."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = free.getsockname()
    target = WebSocketTarget(JsonEncoder(), *address)
    wish = (
        "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    with contextlib.ExitStack() as open_sockets:
        for _ in range(40):
            client = open_sockets.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            for _ in range(600):
                if client.connect_ex(address) == 0:
                    break
                time.sleep(0.1)
            if greets:
                client.sendall(wish.encode())
        for _ in range(600):
            if len(target._clients) == 16 * greets:
                break
            time.sleep(0.1)
        for number in range(1500):
            target.deliver(Moment(motion(jawOpen=0.5), number / 60, tracked=True))
            time.sleep(0.001)
        assert len(target._clients) == 16 * greets
        target.close()
        assert not target._thread.is_alive()
        assert not target._transports


def heard(protocol: str, packets: list[bytes]) -> list[str]:
    """What `vfa listen` tells of packets that came within a second."""
    read, second = listen_command._reader(protocol), listen_command.Heard()
    for packet in packets:
        second.packets["127.0.0.1:5"] += 1
        try:
            read(packet, second)
        except DamagedPacketError as error:
            second.damaged[str(error)] += 1
    return listen_command.told(second, protocol)


def test_listening_tells_who_sends_and_what_moves() -> None:
    moments = [Moment(motion(jawOpen=jaw), jaw, tracked=True) for jaw in (0.1, 0.9)]
    for protocol, encoder, name in (
        ("livelink", LiveLinkEncoder(), "jawOpen 0.90"),
        ("ifacialmocap", IFacialMocapEncoder(), "jawOpen 0.90"),
        ("vmc", VmcEncoder(), "JawOpen 0.90"),
        ("osf", OpenSeeFaceEncoder(FacePoints(load_canonical_face(find_face_model()))), "mouth_open 1.00"),
    ):
        lines = heard(protocol, [packet for each in moments for packet in encoder.packets(each)])  # type: ignore[attr-defined]
        assert lines[0].startswith(f"{protocol} from 127.0.0.1:5 ")
        assert name in lines[-1]
    assert "nothing came" in heard("vmc", [])[0]


def test_listening_tells_what_is_missing_and_what_is_damaged() -> None:
    *without_apply, _ = VmcEncoder().packets(moment(jawOpen=0.5))
    assert any("no /VMC/Ext/Blend/Apply" in line for line in heard("vmc", without_apply))
    for protocol in ("vmc", "livelink", "ifacialmocap", "osf"):
        assert any(f"no {protocol}:" in line for line in heard(protocol, [b"hello", b"", b"\xff" * 3000]))
    with pytest.raises(InputError, match="vmc, livelink, ifacialmocap, osf"):
        listen_command._parsed("osc:1")


def test_a_port_in_use_is_told(receiver: socket.socket) -> None:
    with pytest.raises(InputError, match="end the program that has it"):
        listen_command.listen(f"vmc:{receiver.getsockname()[1]}")


@pytest.mark.parametrize(
    ("where", "seconds", "told"),
    [
        ("vmc:192.0.2.1:39539", None, "is not this machine"),
        ("vmc:no.such.invalid:39539", None, "is not this machine"),
        ("vmc", -1.0, "more than 0"),
        ("vmc", math.nan, "more than 0"),
    ],
)
def test_what_cannot_be_listened_to_is_told(where: str, seconds: float | None, told: str) -> None:
    with pytest.raises(InputError, match=told):
        listen_command.listen(where, seconds=seconds)


@pytest.mark.parametrize("scheme", ["vmc", "ws"])
def test_a_host_that_no_name_server_knows_is_told_before_the_show(scheme: str) -> None:
    """One name is too long to ask for; the thread of a server would break there."""
    for host in ("no.such.invalid", "a" * 70):
        with pytest.raises(InputError, match="there is no host"):
            open_output(Address.parse(f"{scheme}://{host}"))
