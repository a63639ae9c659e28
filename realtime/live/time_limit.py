"""When a session of limited length ends."""

FIRST_POSE_S = 30.0  # how long a camera that is not there yet is waited for on top of the time asked for
FIRST_MOTION_S = 5.0  # and a phone's motion, which comes as soon as the phone sends


class TimeLimit:
    """Ends a session `seconds` after its first pose, or after `first_pose_s` more where none ever comes.

    Time counts from when frames are taken: making an engine, which may take minutes at its first start, is no part of
    it. None never ends.
    """

    def __init__(self, seconds: float | None, first_pose_s: float = FIRST_POSE_S) -> None:
        self._seconds, self._first_pose_s = seconds, first_pose_s
        self._ready_s: float | None = None
        self._posed_s: float | None = None

    def is_over(self, now_s: float, *, ready: bool, posed: bool) -> bool:
        """Whether to end now (monotonic seconds): `ready` once frames are taken, `posed` once there was a pose."""
        if self._seconds is None:
            return False
        if posed and self._posed_s is None:
            self._posed_s = now_s
        if ready and self._ready_s is None:
            self._ready_s = now_s
        if self._posed_s is not None:
            return now_s >= self._posed_s + self._seconds
        return self._ready_s is not None and now_s >= self._ready_s + self._first_pose_s + self._seconds
