"""What the performer does when: sentences, expressions, head moves and glances of one minute."""

from __future__ import annotations

from dataclasses import dataclass

from capture.synthetic.performer.speech import Utterance


@dataclass(frozen=True)
class Expression:
    """Units that rise and fall together."""

    start_s: float
    end_s: float
    units: dict[str, float]
    rise_s: float = 0.35
    fall_s: float = 0.5


@dataclass(frozen=True)
class HeadMove:
    """A turn to the person's left, nod downwards and tilt to their left shoulder that comes and goes."""

    start_s: float
    end_s: float
    turn_deg: float = 0.0
    nod_deg: float = 0.0
    tilt_deg: float = 0.0
    rise_s: float = 0.6
    fall_s: float = 0.8


def _pair(name: str, left: float, right: float | None = None) -> dict[str, float]:
    return {f"{name}Left": left, f"{name}Right": left if right is None else right}


SMILE = _pair("mouthSmile", 0.62, 0.55) | _pair("cheekSquint", 0.35) | _pair("eyeSquint", 0.12)
GRIN = (
    _pair("mouthSmile", 0.92, 0.86) | _pair("cheekSquint", 0.75) | _pair("eyeSquint", 0.35)
    | _pair("mouthUpperUp", 0.30) | _pair("mouthLowerDown", 0.22) | _pair("mouthDimple", 0.2) | {"jawOpen": 0.10}
)  # fmt: skip
LAUGH = {"jawOpen": 0.30, "browInnerUp": 0.12} | _pair("mouthLowerDown", 0.15) | _pair("noseSneer", 0.2)
BROWS_UP = {"browInnerUp": 0.65} | _pair("browOuterUp", 0.75, 0.68)
SURPRISE = (
    {"browInnerUp": 0.9, "jawOpen": 0.58, "mouthFunnel": 0.18} | _pair("browOuterUp", 0.95) | _pair("eyeWide", 0.8)
)
FROWN = _pair("browDown", 0.85) | _pair("eyeSquint", 0.5) | _pair("mouthFrown", 0.62) | {"mouthShrugLower": 0.35}
DISGUST = _pair("noseSneer", 0.9) | _pair("mouthUpperUp", 0.55) | _pair("cheekSquint", 0.45) | _pair("browDown", 0.5)
THINKING = (
    {"mouthLeft": 0.45, "mouthPucker": 0.22, "browDownLeft": 0.35, "browOuterUpRight": 0.45, "browInnerUp": 0.15}
    | _pair("mouthPress", 0.3) | _pair("eyeSquint", 0.3)
)  # fmt: skip
KISS = {"mouthPucker": 0.95, "mouthFunnel": 0.15} | _pair("eyeSquint", 0.18)
OOH = {"mouthFunnel": 0.85, "jawOpen": 0.22, "browInnerUp": 0.35} | _pair("browOuterUp", 0.3)
PUFF = {"cheekPuff": 0.95} | _pair("mouthPress", 0.4) | _pair("eyeWide", 0.25)
SMIRK = {"mouthSmileLeft": 0.75, "cheekSquintLeft": 0.4, "mouthDimpleLeft": 0.4, "browOuterUpLeft": 0.5}
WINK = {"eyeBlinkRight": 0.98, "cheekSquintRight": 0.75, "mouthSmileRight": 0.45, "browDownRight": 0.3}
SAD = {"browInnerUp": 0.85, "mouthShrugLower": 0.3} | _pair("mouthFrown", 0.55) | _pair("browDown", 0.15)

EXPRESSIONS: tuple[Expression, ...] = (
    Expression(1.5, 3.6, SMILE, 0.5, 0.7),
    Expression(1.6, 2.15, BROWS_UP, 0.18, 0.3),
    Expression(6.3, 7.6, _pair("mouthSmile", 0.3) | _pair("cheekSquint", 0.2), 0.4, 0.6),
    Expression(10.6, 12.5, SMILE, 0.45, 0.7),
    Expression(12.6, 15.0, THINKING, 0.4, 0.5),
    Expression(15.1, 15.9, BROWS_UP, 0.2, 0.4),
    Expression(21.0, 26.6, GRIN, 0.45, 0.9),
    Expression(21.9, 22.3, LAUGH, 0.12, 0.16),
    Expression(22.3, 22.7, LAUGH, 0.12, 0.16),
    Expression(22.7, 23.15, LAUGH, 0.12, 0.2),
    Expression(23.5, 24.2, LAUGH, 0.15, 0.4),
    Expression(33.4, 35.4, SURPRISE, 0.2, 0.6),
    Expression(35.7, 36.9, OOH, 0.3, 0.35),
    Expression(36.9, 38.0, KISS, 0.3, 0.3),
    Expression(38.2, 39.5, PUFF, 0.3, 0.25),
    Expression(39.9, 41.7, FROWN, 0.4, 0.5),
    Expression(41.6, 43.0, DISGUST, 0.3, 0.5),
    Expression(45.6, 47.6, SAD, 0.6, 0.7),
    Expression(50.6, 53.9, _pair("mouthSmile", 0.45, 0.4) | _pair("cheekSquint", 0.25), 0.6, 0.6),
    Expression(53.8, 55.4, SMIRK, 0.3, 0.5),
    Expression(54.3, 54.85, WINK, 0.11, 0.2),
    Expression(55.6, 56.5, {"jawLeft": 0.55, "jawOpen": 0.16, "mouthLeft": 0.15}, 0.25, 0.25),
    Expression(56.3, 57.2, {"jawRight": 0.55, "jawOpen": 0.16, "mouthRight": 0.15}, 0.25, 0.3),
    Expression(57.2, 58.6, SMILE, 0.35, 0.7),
)

HEAD_MOVES: tuple[HeadMove, ...] = (
    HeadMove(1.7, 2.5, nod_deg=7, tilt_deg=2, rise_s=0.3, fall_s=0.45),
    HeadMove(3.4, 6.2, turn_deg=5, tilt_deg=4),
    HeadMove(7.0, 10.0, turn_deg=-7, tilt_deg=-4, nod_deg=2),
    HeadMove(12.3, 15.0, turn_deg=12, nod_deg=-7, tilt_deg=5, rise_s=0.5, fall_s=0.6),
    HeadMove(16.0, 18.3, turn_deg=-6, nod_deg=-3, tilt_deg=-5),
    HeadMove(18.2, 20.6, turn_deg=8, tilt_deg=3),
    HeadMove(21.8, 24.7, nod_deg=-10, tilt_deg=6, turn_deg=-5, rise_s=0.4, fall_s=0.9),
    HeadMove(27.0, 30.0, turn_deg=31, nod_deg=2, rise_s=0.85, fall_s=0.9),
    HeadMove(29.9, 33.2, turn_deg=-31, nod_deg=1, rise_s=0.95, fall_s=0.9),
    HeadMove(33.3, 35.3, nod_deg=-5, rise_s=0.25, fall_s=0.7),
    HeadMove(35.6, 38.1, tilt_deg=-9, turn_deg=4, rise_s=0.5, fall_s=0.6),
    HeadMove(39.8, 41.8, nod_deg=8, turn_deg=-4, rise_s=0.5, fall_s=0.5),
    HeadMove(41.6, 43.1, nod_deg=-6, turn_deg=9, tilt_deg=-4, rise_s=0.35, fall_s=0.5),
    HeadMove(43.6, 46.5, turn_deg=-6, nod_deg=3, tilt_deg=-3),
    HeadMove(45.5, 48.0, nod_deg=6, tilt_deg=6, rise_s=0.8),
    HeadMove(48.6, 50.1, nod_deg=9, rise_s=0.3, fall_s=0.4),
    HeadMove(49.3, 50.9, nod_deg=7, rise_s=0.3, fall_s=0.4),
    HeadMove(51.0, 53.6, turn_deg=6, tilt_deg=5),
    HeadMove(53.8, 55.6, turn_deg=-9, tilt_deg=-8, rise_s=0.4),
)

# Time, and where the eyes go from then on: degrees to the person's left and upwards, seen from the straight line to the
# camera. Before a turn of the head the eyes lead.
GAZES: tuple[tuple[float, float, float], ...] = (
    (4.9, -9.0, -3.0), (5.7, 0.0, 0.0), (8.4, 10.0, 4.0), (9.3, 0.0, 0.0), (12.5, 18.0, 13.0), (13.7, -4.0, 14.0),
    (14.6, 0.0, 0.0), (17.1, -8.0, -6.0), (17.8, 0.0, 0.0), (22.3, -6.0, -8.0), (23.6, 0.0, 0.0), (26.85, 30.0, 0.0),
    (28.9, 0.0, 0.0), (29.75, -30.0, 2.0), (32.0, 0.0, 0.0), (40.1, 0.0, -7.0), (41.2, 0.0, 0.0), (42.0, 12.0, -4.0),
    (43.2, 0.0, 0.0), (45.9, 3.0, -14.0), (47.7, 0.0, 0.0), (51.6, -9.0, 3.0), (52.3, 0.0, 0.0),
)  # fmt: skip

UTTERANCES: tuple[Utterance, ...] = (
    # "Hi, nice to meet you. I would like to show you what a face can do, without any markers."
    Utterance(2.6, "HH 'AY , N 'AY S | T UW | M 'IY T | Y UW", 1.0, 1.0),
    Utterance(
        4.6,
        "AY | W UH D | L 'AY K | T UW | SH 'OW | Y UW , W AH T | AH | F 'EY S | K AE N | D 'UW , "
        "W IH TH 'AW T | 'EH N IY | M 'AA R K ER Z",
        1.0,
        1.14,
    ),
    # "Just a camera, and a bit of depth."
    Utterance(9.4, "JH AH S T | AH | K 'AE M R AH , AE N D | AH | B 'IH T | AH V | D 'EH P TH", 0.85, 0.95),
    # "Oh! Watch my mouth, my brows and my eyes: everything moves at once, right now."
    Utterance(15.2, "'OW", 1.3, 0.6),
    Utterance(
        16.0,
        "W 'AA CH | M AY | M 'AW TH , M AY | B R 'AW Z | AE N D | M AY | 'AY Z , "
        "'EH V R IY TH IH NG | M 'UW V Z | AE T | W 'AH N S , R 'AY T | N 'AW",
        1.25,
        1.17,
    ),
    # "Look over there. And over here."
    Utterance(27.6, "L 'UH K | OW V ER | DH 'EH R", 0.9, 0.9),
    Utterance(30.7, "AE N D | 'OW V ER | HH 'IY R", 0.9, 0.9),
    # "Sometimes I whisper, and nobody hears a word. But that is fine by me, because you can see it all."
    Utterance(
        43.4, "S 'AH M T AY M Z | AY | W 'IH S P ER , AE N D | N 'OW B AA D IY | HH IY R Z | AH | W 'ER D", 0.5, 0.95
    ),
    Utterance(
        47.9,
        "B AH T | DH AE T | IH Z | F 'AY N | B AY | M 'IY , B IH K 'AH Z | Y 'UW | K AE N | S 'IY | IH T | 'AO L",
        1.05,
        1.0,
    ),
    # "Thank you. Bye-bye!"
    Utterance(52.0, "TH 'AE NG K | Y UW , B 'AY | B 'AY", 1.05, 0.95),
)
