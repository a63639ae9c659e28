"""Packets against fixtures written by hand from each protocol's description, and against others' libraries."""

import json
import math
import struct
from types import SimpleNamespace

import numpy as np
import pytest
from pythonosc.osc_packet import OscPacket
from scipy.spatial.transform import Rotation

from capture.face.face_model_file import find_face_model
from capture.phones import ifacialmocap as phone_text
from capture.phones import live_link as phone_packets
from core.canonical_face import load_canonical_face
from core.expression_units import UNIT_NAMES
from core.face_motion import FaceMotion, with_gaze
from core.rigid_motion import rotation_matrix, turned, turns
from realtime.outputs.address import Address
from realtime.outputs.face_points import FacePoints
from realtime.outputs.ifacialmocap import IFacialMocapEncoder
from realtime.outputs.live_link import LiveLinkEncoder, LiveLinkOptions
from realtime.outputs.moment import Encoder, Moment
from realtime.outputs.open_see_face import FEATURES, UNITS_PER_M, OpenSeeFaceEncoder
from realtime.outputs.script_json import JsonEncoder
from realtime.outputs.vmc import VmcEncoder, VmcOptions
from realtime.outputs.vrm_shapes import PRESET_NAMES, preset_weights
from realtime.rig.naming import PRESETS

YAW = 0.3  # to the person's left
LEFT_EYE = (0.2, -0.1)  # to the person's left, downwards


def motion(turn: tuple[float, float, float] = (0.0, YAW, 0.0), **units: float) -> FaceMotion:
    """The head turned about x, y, z, the left eye looking left and down, and these units."""
    weights, gaze, T = np.zeros(52), np.array([(0.0, 0.0), LEFT_EYE]), np.eye(4)
    for name, weight in units.items():
        weights[UNIT_NAMES.index(name)] = weight
    T[:3, :3], T[:3, 3] = rotation_matrix(np.array(turn)), (0.01, 0.02, 0.03)
    return FaceMotion(with_gaze(weights, gaze), gaze, T)


def moment(**units: float) -> Moment:
    return Moment(motion(**units), 12.5, tracked=True)


def osc(encoder: Encoder, given: Moment) -> dict[tuple[object, ...], list[object]]:
    """What python-osc reads: address and words → numbers, in the order they came."""
    read: dict[tuple[object, ...], list[object]] = {}
    for packet in encoder.packets(given):
        assert len(packet) <= 1400
        for timed in OscPacket(packet).messages:
            message = timed.message
            words = [each for each in message.params if isinstance(each, str)]
            read[message.address, *words] = [each for each in message.params if not isinstance(each, str)]
    return read


def test_live_link_face_byte_for_byte() -> None:
    (packet,) = LiveLinkEncoder(LiveLinkOptions("me")).packets(moment(jawOpen=0.5, eyeBlinkLeft=1.0, mouthLeft=0.25))
    device = packet[5:41]  # 36 letters of an identifier
    expected = b"\x06" + struct.pack(">i", 36) + device + struct.pack(">i", 2) + b"me"
    assert packet[: len(expected)] == expected
    assert device.decode().count("-") == 4
    _, sub_frame, rate, per, count = struct.unpack_from(">ifiiB", packet, len(expected))
    assert 0 <= sub_frame < 1
    assert (rate, per, count) == (60, 1, 61)
    values = struct.unpack(">61f", packet[len(expected) + 17 :])
    look_out, look_down = 0.2 / math.radians(25.5), 0.1 / math.radians(19.4)
    wanted = dict.fromkeys(range(61), 0.0)
    wanted |= {0: 1.0, 1: look_down, 3: look_out, 17: 0.5, 21: 0.25, 52: YAW, 55: 0.2, 56: 0.1}
    np.testing.assert_allclose(values, list(wanted.values()), atol=1e-6)


def test_a_live_link_packet_read_back_is_the_same_motion() -> None:
    sent = motion((0.1, 0.2, -0.15), jawOpen=0.5, mouthSmileRight=0.7)
    (packet,) = LiveLinkEncoder().packets(Moment(sent, 1.0, tracked=True))
    read = phone_packets.read_packet(packet).motion()
    np.testing.assert_allclose(read.weights, sent.weights, atol=1e-6)
    np.testing.assert_allclose(read.gaze, sent.gaze, atol=1e-6)
    np.testing.assert_allclose(read.T_neutral_head[:3, :3], sent.T_neutral_head[:3, :3], atol=1e-6)


def test_ifacialmocap_letter_for_letter() -> None:
    (packet,) = IFacialMocapEncoder().packets(moment(jawOpen=0.5, mouthSmileLeft=0.305))
    parts = packet.decode().split("|")
    assert "jawOpen-50" in parts
    assert "mouthSmile_L-30" in parts
    assert "mouthSmile_R-0" in parts
    assert "mouthLeft-0" in parts
    assert "trackingStatus-1" in parts
    assert parts[-4:] == [
        "=head#-0.0000,17.1887,0.0000,0.01000,0.02000,0.03000",
        "rightEye#-0.0000,0.0000,0",
        "leftEye#5.7296,11.4592,0",
        "",
    ]
    read = phone_text.read_packet(packet)
    assert read.missing == ()
    np.testing.assert_allclose(read.motion().gaze, [(0.0, 0.0), LEFT_EYE], atol=1e-5)


def test_vmc_as_another_library_reads_it() -> None:
    read = osc(VmcEncoder(), moment(jawOpen=0.5, eyeBlinkRight=1.0))
    assert next(iter(read)) == ("/VMC/Ext/OK",)
    assert list(read)[-1] == ("/VMC/Ext/Blend/Apply",)
    assert read["/VMC/Ext/OK",] == [1, 3, 0, 1]
    assert read["/VMC/Ext/Blend/Val", "JawOpen"] == [0.5]
    assert read["/VMC/Ext/Blend/Val", "EyeBlinkRight"] == [1.0]
    assert read["/VMC/Ext/Blend/Val", "Blink_R"] == [1.0]
    assert read["/VMC/Ext/Blend/Val", "Blink_L"] == [0.0]
    assert sum(address[0] == "/VMC/Ext/Blend/Val" for address in read) == 17 + 52
    # In Unity's left-handed axes (x right of the avatar, y up) a turn to the avatar's own left is about -y.
    angles = [2 * math.asin(read["/VMC/Ext/Bone/Pos", bone][4]) for bone in ("Neck", "Head")]  # type: ignore[arg-type]
    assert sum(angles) == pytest.approx(-YAW, abs=1e-6)
    left = read["/VMC/Ext/Bone/Pos", "LeftEye"]
    assert left[3] > 0.04, "down"  # type: ignore[operator]
    assert left[4] < -0.09, "to its own left"  # type: ignore[operator]


def test_vmc_sends_what_is_asked_for() -> None:
    names = {address[1] for address in osc(VmcEncoder(VmcOptions("vrm1", "presets")), moment()) if len(address) > 1}
    assert {"happy", "blinkLeft", "aa"} <= names
    assert not {"JawOpen", "Joy"} & names


def test_presets_say_what_the_face_does_and_no_more() -> None:
    def presets(**units: float) -> dict[str, float]:
        weights = preset_weights(motion(**units).weights)
        named = dict(zip(PRESET_NAMES, weights.round(3).tolist(), strict=True))
        return {name: weight for name, weight in named.items() if weight and not name.startswith("look")}

    assert presets() == {}
    assert presets(eyeBlinkLeft=1.0, eyeBlinkRight=0.5) == {"blinkLeft": 1.0, "blinkRight": 0.5}
    assert presets(jawOpen=0.6) == {"aa": 1.0}
    assert presets(jawOpen=0.6, mouthClose=0.6) == {}
    assert presets(jawOpen=0.3, mouthPucker=0.9) == {"ou": 0.5, "oh": 0.5}
    for preset in ("happy", "angry", "sad", "surprised"):
        seen = presets(**PRESETS[preset])
        assert max(seen, key=seen.__getitem__) == preset
        assert seen[preset] == 1.0


def test_open_see_face_byte_for_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = SimpleNamespace(time=lambda: 1000.0, monotonic=lambda: 400.0)
    monkeypatch.setattr("realtime.outputs.open_see_face.time", clocks)
    encoder = OpenSeeFaceEncoder(FacePoints(load_canonical_face(find_face_model())))
    (packet,) = encoder.packets(Moment(motion((0.0, 0.0, 0.0), eyeBlinkLeft=1.0, jawOpen=0.5), 1.0, tracked=True))
    assert len(packet) == 1785
    when, number, width, height, right_open, left_open, found = struct.unpack_from("<diffffB", packet)
    assert when == 601.0, "the frame of second 1, by the clock on the wall"
    assert (number, width, height, right_open, left_open, found) == (0, 640.0, 480.0, 1.0, 0.0, 1)
    assert struct.unpack_from("<68f", packet, 73) == (1.0,) * 68
    features = struct.unpack_from("<14f", packet, 1785 - 56)
    assert features[FEATURES.index("mouth_open")] == pytest.approx(0.7)
    points = np.frombuffer(packet, "<f4", 136, 73 + 272).reshape(68, 2)
    assert points[0, 0] < points[16, 0], "the person's right is at the picture's left"
    assert points[8, 1] > points[27, 1], "the chin is below the nose"
    lost = encoder.packets(Moment(motion(), 2.0, tracked=False))[0]
    assert struct.unpack_from("<diffffB", lost)[-1] == 0


def test_open_see_face_moves_unity_s_head_the_person_s_way() -> None:
    """Read as its `OpenSee.cs` and `OpenSeeIKTarget.cs` read it, not mirrored, against the pose at rest."""
    encoder = OpenSeeFaceEncoder(FacePoints(load_canonical_face(find_face_model())))

    def read(turn: tuple[float, float, float], shift: tuple[float, float, float]) -> tuple[Rotation, np.ndarray]:
        T = np.eye(4)
        T[:3, :3], T[:3, 3] = rotation_matrix(np.array(turn)), shift
        (packet,) = encoder.packets(Moment(FaceMotion(np.zeros(52), np.zeros((2, 2)), T), 1.0, tracked=True))
        x, y, z, w, *angles = struct.unpack_from("<4f3f", packet, 33)
        left, up, near = struct.unpack_from("<3f", packet, 61)
        fitted = Rotation.from_quat([-x, -y, -z, w]).as_matrix()  # the packet has the conjugate
        again = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
        np.testing.assert_allclose(again, fitted, atol=1e-5)
        sent = (-up, left, -near)  # OpenSee.cs: translation = (-y, x, -z)
        return Rotation.from_quat([-y, -x, z, w]), np.array([-sent[0], sent[1], -sent[2]])

    rest_turn, rest_place = read((0, 0, 0), (0, 0, 0))
    for turn, expected in (((0.35, 0, 0), (0.35, 0, 0)), ((0, 0.35, 0), (0, -0.35, 0)), ((0, 0, 0.35), (0, 0, -0.35))):
        seen = (read(turn, (0, 0, 0))[0] * rest_turn.inv()).as_rotvec()
        np.testing.assert_allclose(seen, expected, atol=1e-5, err_msg="Unity: down +x, to its own left -y, right -z")
    moved = (read((0, 0, 0), (0.1, 0.2, 0.05))[1] - rest_place) / UNITS_PER_M
    np.testing.assert_allclose(moved, (-0.1, 0.2, 0.05), atol=1e-5, err_msg="Unity: x to its own right, z forwards")


def test_a_mirrored_driver_is_the_mirror_image_in_every_protocol() -> None:
    """What ?mirror=1 sends is what a driver seen in a mirror would: left and right change, up and down do not."""
    turn = (0.1, 0.3, -0.2)
    plain = Moment(motion(turn, eyeBlinkLeft=1.0, mouthLeft=0.5, jawOpen=0.25), 1.0, tracked=True)
    for encoder, read in (
        (LiveLinkEncoder(), phone_packets.read_packet),
        (IFacialMocapEncoder(), phone_text.read_packet),
    ):
        faces = [read(encoder.packets(each)[0]) for each in (plain, plain.mirrored())]
        (yaw, pitch, roll), (yaw_2, pitch_2, roll_2) = (face.head for face in faces)
        assert (yaw_2, pitch_2, roll_2) == pytest.approx((-yaw, pitch, -roll), abs=1e-5)
        weights = [dict(zip(UNIT_NAMES, face.weights.tolist(), strict=True)) for face in faces]
        assert (weights[0]["eyeBlinkLeft"], weights[1]["eyeBlinkLeft"], weights[1]["eyeBlinkRight"]) == (1, 0, 1)
        assert (weights[0]["mouthLeft"], weights[1]["mouthRight"], weights[1]["jawOpen"]) == (0.5, 0.5, 0.25)
        assert faces[1].eyes is not None
        np.testing.assert_allclose(faces[1].eyes, [(-0.2, 0.1), (0.0, 0.0)], atol=1e-5)
    bones = [osc(VmcEncoder(), each) for each in (plain, plain.mirrored())]
    for bone in ("Head", "Neck"):
        straight, mirrored = (np.array(each["/VMC/Ext/Bone/Pos", bone][3:], float) for each in bones)
        np.testing.assert_allclose(mirrored, straight * (1, -1, -1, 1), atol=1e-6)
    (left,), (right,) = (
        each["/VMC/Ext/Blend/Val", name] for each, name in zip(bones, ("Blink_L", "Blink_R"), strict=True)
    )
    assert (left, right) == (1.0, 1.0)


def test_receivers_in_public_turn_the_head_as_the_person_does() -> None:
    """What programs that nobody here wrote make of our packets, each by the formula in its source.

    iFacialMocap: VRCast (IFacialMocapPacket.cs) and SnekStudio's port of the app maker's Unity script (ifacialmocap.gd)
    turn a Unity head by Euler(x, -y, -z) degrees. Live Link Face: makehuman.js (livelink.cc) turns a right-handed head,
    y up, looking along z, by yaw radians about y and roll radians about z; the Live Link page for three-vrm writes yaw
    to rotation.y as it comes. Two that send to Unreal name pitch upwards: MeFaMo takes less the turn about x of a head
    that looks along z, LiteLink the arc sine of how far the face's forward axis points up. Eyes: VRCFaceTracking's
    modules take gaze.x from the eye's yaw, or from eyeLookOut less eyeLookIn of the left eye, and gaze.y from less
    pitch, or from eyeLookUp less eyeLookDown.
    """
    turn = (0.1, 0.3, -0.2)
    for given, sign in ((Moment(motion(turn), 1.0, tracked=True), 1.0),
                        (Moment(motion(turn), 1.0, tracked=True).mirrored(), -1.0)):  # fmt: skip
        wanted = given.motion.T_neutral_head[:3, :3]
        text = IFacialMocapEncoder().packets(given)[0].decode()
        x, y, z = (math.radians(float(word)) for word in text.split("=head#")[1].split("|")[0].split(",")[:3])
        unity = Rotation.from_euler("YXZ", [-y, x, -z]).as_matrix()  # Unity's order, in its left-handed axes
        to_unity = np.diag([-1.0, 1.0, 1.0])
        np.testing.assert_allclose(to_unity @ unity @ to_unity, wanted, atol=1e-4)
        values = struct.unpack(">61f", LiveLinkEncoder().packets(given)[0][-244:])
        yaw, roll = values[52], values[54]
        assert values[53] == pytest.approx(math.asin(wanted[1, 2]), abs=0.02), "LiteLink's formula"
        nose = Rotation.from_euler("y", yaw).apply([0.0, 0.0, 1.0])
        assert np.sign(nose[0]) == np.sign(wanted[0, 2]) == sign, "x is to the person's left"
        top = Rotation.from_euler("z", roll).apply([0.0, 1.0, 0.0])
        assert np.sign(top[0]) == np.sign(wanted[0, 1]) == sign
        assert abs(yaw) == pytest.approx(0.3, abs=0.05), "radians: half-turns would be 0.1, degrees 17"
        eye, own = (55, (1, 2, 3, 4)) if sign > 0 else (58, (8, 9, 10, 11))  # the mirrored one's is the right eye
        down, inward, outward, up = (values[number] for number in own)
        to_left = (outward - inward) if sign > 0 else (inward - outward)
        assert np.sign(values[eye]) == np.sign(to_left) == sign
        assert np.sign(-values[eye + 1]) == np.sign(up - down) == -1


def test_a_receiver_that_nods_the_other_way_is_served_too() -> None:
    nod = Moment(motion((0.2, 0.0, 0.0)), 1.0, tracked=True)
    down, up = (
        struct.unpack(">61f", LiveLinkEncoder(LiveLinkOptions(pitch=way)).packets(nod)[0][-244:])[53]  # type: ignore[arg-type]
        for way in ("down", "up")
    )
    assert (down, up) == pytest.approx((0.2, -0.2))
    assert Address.parse("livelink://127.0.0.1?pitch=down").options == {"pitch": "down"}


def test_json_for_scripts() -> None:
    said = json.loads(JsonEncoder().packets(moment(jawOpen=0.5))[0])
    assert said["vfa"] == 1
    assert said["units"]["jawOpen"] == 0.5
    assert set(said["units"]) == set(UNIT_NAMES)
    assert said["head"]["yaw_pitch_roll_deg"] == pytest.approx([17.189, 0, 0], abs=1e-3)
    assert said["eyes"]["left"] == {"yaw_deg": pytest.approx(11.459), "pitch_deg": pytest.approx(-5.73)}


def test_a_mirror_swaps_sides() -> None:
    mirrored = moment(eyeBlinkLeft=1.0, mouthLeft=0.5).mirrored().motion
    assert mirrored.weights[UNIT_NAMES.index("eyeBlinkRight")] == 1.0
    assert mirrored.weights[UNIT_NAMES.index("mouthRight")] == 0.5
    assert turns(mirrored.T_neutral_head[:3, :3])[0] == pytest.approx(-YAW)
    np.testing.assert_allclose(mirrored.gaze, [(-0.2, -0.1), (0.0, 0.0)])


def test_angles_come_back() -> None:
    for angles in ((0.3, -0.2, 0.1), (-1.0, 0.5, -0.4)):
        np.testing.assert_allclose(turns(turned(*angles)), angles)
    assert turns(rotation_matrix(np.array([0.2, 0, 0])))[1] == pytest.approx(0.2), "about x is downwards"
