"""Who drives: the neutral face and the gains of one person, taken, kept and loaded while frames go by."""

import logging
import threading
from collections import deque
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calib.person.neutral import NeutralPicker
from calib.person.profile import PersonalProfile, ProfileCheck, load_profile, save_profile
from calib.person.range_of_motion import FEWEST_FOLLOWED, STEPS, RangeOfMotion
from calib.person.resting_motion import RestingMotion
from core.errors import InputError
from core.expression_units import UNIT_COUNT
from core.face_motion import FaceMotion, MotionFrame
from core.frame import FaceObservation
from engine.motion.protocol import MotionEngine

log = logging.getLogger(__name__)


class PersonalCalibration:
    """Neutral and gains of the person before the camera. Owned by the inference thread, requests from any thread.

    Args:
        picker: finds the neutral where no profile brings one.
        profile: name under which the person is kept; None: nothing is loaded or saved.
        folder: of the profiles; the user's data where None.
        show_range: ask for the range of motion as soon as a neutral is known.
        offer_range: tell a person without a profile of key G, with the first neutral.

    Attributes:
        prompt: what the person should do now, with the seconds left for it; empty while nothing is asked.
        neutral: the face the engine was last calibrated with; None before.
        head_stays: the avatar's head is kept still, whatever was asked for.

    Raises InputError for a profile that cannot be used.
    """

    def __init__(
        self,
        picker: NeutralPicker | None = None,
        profile: str | None = None,
        folder: Path | None = None,
        *,
        show_range: bool = False,
        offer_range: bool = False,
    ) -> None:
        self._picker = picker or NeutralPicker()
        self._name, self._folder = profile, folder
        self._profile = load_profile(profile, folder) if profile is not None else None
        self._pending = self._profile is not None
        self._check: ProfileCheck | None = None
        self._range: RangeOfMotion | None = None
        self._prompt = ""
        self.prompt = ""
        self.neutral: FaceObservation | None = None
        self.head_stays = False
        self._asked = False
        self._offer_range = offer_range and not show_range and self._profile is None
        self._resting = RestingMotion()
        self._recapture, self._range_asked = threading.Event(), threading.Event()
        self._notices: deque[str] = deque(maxlen=8)
        if show_range:
            self._range_asked.set()

    def request_neutral(self) -> None:
        """Take the next good frame as the neutral face."""
        self._recapture.set()

    def request_range(self) -> None:
        """Ask the person for the range of motion; asked again while it runs, stop it."""
        self._range_asked.set()

    def take_notice(self) -> str | None:
        """What the person should be told, each once."""
        return self._notices.popleft() if self._notices else None

    def adopt(self, engine: MotionEngine, neutral: FaceObservation) -> None:
        """Calibrate with a recording's own neutral, and with the person's gains; kept where there was no profile."""
        self._calibrate(engine, neutral)
        if self._profile is None:
            self._keep(engine, neutral)
        else:
            engine.gains = self._profile.gains.copy()

    def relative(self, frame: MotionFrame) -> FaceMotion:
        """A motion that was read elsewhere against the face's rest; in place of `before` and `after`. Whoever sends it
        has measured it against a range of its own, so that there are no gains."""
        if self._recapture.is_set():
            self._recapture.clear()
            self._resting.request()
        first = not self._resting.known
        if self._resting.taken(frame):
            self._tell("neutral taken")
        elif first and self._resting.known:
            self._tell("as you hold your head now is straight ahead: N takes it again, and your face's rest with it")
        if self._range_asked.is_set():
            self._range_asked.clear()
            self._tell("range of motion: is measured in pictures alone; what drives now sends numbers")
        return self._resting.relative(frame.motion)

    def before(self, engine: MotionEngine, observation: FaceObservation) -> None:
        """To be called with every observation before the engine answers it."""
        if self._pending and observation.tracked:
            self._apply_profile(engine, observation)
        if self._recapture.is_set():
            self._recapture.clear()
            self._picker.request()
            self._asked = True
        if (neutral := self._picker.offer(observation)) is not None:
            first = not engine.calibrated
            self._calibrate(engine, neutral)
            self._keep(engine, neutral)
            if self._asked or first:
                self._tell("neutral taken" if self._asked else "your face now is the neutral one: N takes it again")
                self._asked = False
            if first and self._offer_range and engine.unit_names is not None:
                self._tell("ten seconds of grimaces fit the avatar to how far your face goes: press G")
        if warning := self._picker.take_warning():
            self._tell(warning)
        if self._check is not None and (hint := self._check.offer(observation)):
            self._tell(hint)

    def after(self, engine: MotionEngine, observation: FaceObservation) -> None:
        """To be called with every observation after the engine answered it."""
        if self._range_asked.is_set() and engine.calibrated:
            self._range_asked.clear()
            self._start_or_stop(engine)
        if self._range is None:
            return
        self._range.offer(observation.timestamp_s, engine.unit_weights if observation.tracked else None)
        if self._range.done:
            self._finish(engine, self._range)
            return
        if self._range.prompt != self._prompt:
            self._prompt = self._range.prompt
            log.info("%s", self._prompt)
        self.prompt = f"{self._prompt} · {self._range.seconds_left}"

    def _apply_profile(self, engine: MotionEngine, observation: FaceObservation) -> None:
        self._pending = False
        assert self._profile is not None
        engine.gains = self._profile.gains.copy()
        if not engine.keeps_neutral:
            return
        if self._profile.depth != (observation.frame.depth_m is not None):
            how = "with" if self._profile.depth else "without"
            self._tell(f"profile {self._profile.name} was taken {how} a depth camera: taking a new neutral")
            return
        self._calibrate(engine, self._profile.neutral(observation))
        self._picker.keep()
        self._check = ProfileCheck(self._profile)
        log.info("profile %s of %s: neutral and gains loaded", self._profile.name, self._profile.date)

    def _calibrate(self, engine: MotionEngine, neutral: FaceObservation) -> None:
        engine.calibrate(neutral)
        self.neutral = neutral

    def _keep(self, engine: MotionEngine, neutral: FaceObservation) -> None:
        self._check = None
        if self._name is None or not engine.keeps_neutral:
            return
        gains = self._profile.gains if self._profile is not None else None
        self._profile = PersonalProfile.of(self._name, neutral, gains)
        self._save()

    def _start_or_stop(self, engine: MotionEngine) -> None:
        if self._range is not None:
            self._range, self._prompt, self.prompt = None, "", ""
            engine.gains = self._usual_gains()
            self._tell("range of motion: stopped, nothing changed")
        elif engine.unit_names is None:
            self._tell(f"range of motion: the {engine.name} engine has no units; use --engine expression")
        else:
            engine.gains = np.ones_like(engine.gains)
            self._range = RangeOfMotion()

    def _finish(self, engine: MotionEngine, shown: RangeOfMotion) -> None:
        self._range, self._prompt, self.prompt = None, "", ""
        if shown.followed < FEWEST_FOLLOWED:
            engine.gains = self._usual_gains()
            self._tell(
                f"range of motion: {shown.followed} of {len(STEPS)} prompts were followed, as far as can be seen; "
                "nothing changed: G asks again"
            )
            return
        engine.gains = gains = shown.gains()
        changed = int((np.abs(gains - 1) > 0.01).sum())
        self._tell(f"range of motion: done, {changed} units adapted")
        if self._profile is not None:
            self._profile = self._profile.with_gains(gains)
            self._save()

    def _usual_gains(self) -> NDArray[np.float64]:
        return np.ones(UNIT_COUNT) if self._profile is None else self._profile.gains.copy()

    def _save(self) -> None:
        assert self._profile is not None
        try:
            log.info("profile kept: %s", save_profile(self._profile, self._folder))
        except InputError as error:  # driving goes on without it
            self._tell(str(error))

    def _tell(self, text: str) -> None:
        log.info("%s", text)
        self._notices.append(text)
