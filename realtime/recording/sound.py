"""A sound, carried into a film; a clip's, kept beside the session that it drove."""

import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.source import Sound
from core.whole_file import whole_file
from realtime.recording.sound_file import complete_wave, wave_head

if TYPE_CHECKING:
    import av
    from av.audio.stream import AudioStream
    from av.container import InputContainer

log = logging.getLogger(__name__)

RATE_HZ = 48_000


def add_sound(film: Path, film_begins_s: float, sound: Sound, *, container: str = "mp4", codec: str = "aac") -> bool:
    """Put a clip's sound to the pictures of a whole film, which is replaced by the film with it.

    Args:
        film_begins_s: timestamp of its first picture, on the clock of `sound.begins_s`.
        container, codec: what the film is, and what its sound becomes, in FFmpeg's words.

    Returns whether there was any. What goes wrong is logged, and the film stays as it was.
    """
    import av

    from capture.recordings.video_file import open_container

    try:
        with open_container(sound.path) as clip, av.open(str(film)) as pictures:
            if not clip.streams.audio:
                return False
            with whole_file(film) as partial, av.open(str(partial), "w", format=container) as out:
                _join(out, pictures, clip, sound.begins_s - film_begins_s, codec)
    except (OSError, ValueError, av.error.FFmpegError, InputError) as error:
        log.warning("%s: stays without the sound of %s (%s)", film, sound.path, error)
        return False
    return True


def keep_sound(sound: Sound, begins_s: float, ends_s: float, path: Path) -> bool:
    """Keep a clip's sound between two times of its clock as a WAV file.

    Returns whether there was any. What goes wrong is logged, and there is no file then.
    """
    import av

    from capture.recordings.video_file import open_container

    try:
        with open_container(sound.path) as clip:
            if not clip.streams.audio:
                return False
            track = clip.streams.audio[0]
            layout = "mono" if track.codec_context.channels == 1 else "stereo"
            with whole_file(path) as partial, partial.open("wb") as file:
                frames = 0
                file.write(wave_head(RATE_HZ, 1 if layout == "mono" else 2, None))
                for frame in _placed(clip, track, layout, sound.begins_s - begins_s, ends_s - begins_s):
                    heard = np.rint(frame.to_ndarray().T * 32767).clip(-32768, 32767).astype("<i2")
                    file.write(heard.tobytes())
                    frames += len(heard)
                complete_wave(file, RATE_HZ, 1 if layout == "mono" else 2)
    except (OSError, ValueError, av.error.FFmpegError, InputError) as error:
        log.warning("%s: the session stays without the sound of %s (%s)", path.parent, sound.path, error)
        return False
    if not frames:
        path.unlink(missing_ok=True)
    return frames > 0


def _join(
    out: "av.container.OutputContainer", pictures: "InputContainer", clip: "InputContainer", shift_s: float, codec: str
) -> None:
    """Pictures as they are and the clip's sound, `shift_s` later than in the clip, one beside the other in time."""
    source, track = pictures.streams.video[0], clip.streams.audio[0]
    film = out.add_stream_from_template(source)
    layout = "mono" if track.codec_context.channels == 1 else "stereo"
    spoken = cast("AudioStream", out.add_stream(codec, rate=RATE_HZ, layout=layout))
    ends_s = (pictures.duration or 0) / 1e6
    frames = _placed(clip, track, layout, shift_s, ends_s)
    ahead = next(frames, None)
    for packet in pictures.demux(source):
        if packet.dts is None:
            continue
        now_s = float(packet.dts * packet.time_base)
        while ahead is not None and (ahead.pts or 0) / RATE_HZ <= now_s:
            out.mux(spoken.encode(ahead))
            ahead = next(frames, None)
        packet.stream = film
        out.mux(packet)
    while ahead is not None:
        out.mux(spoken.encode(ahead))
        ahead = next(frames, None)
    out.mux(spoken.encode(None))


def _placed(
    clip: "InputContainer", track: "AudioStream", layout: str, shift_s: float, ends_s: float
) -> Iterator["av.AudioFrame"]:
    """The clip's sound in frames whose times are the film's, silent before it begins; none after the film's end."""
    import av

    shown = next(iter(clip.streams.video), None)
    zero_s = 0.0 if shown is None else float((shown.start_time or 0) * (shown.time_base or Fraction(0)))
    resampler = av.AudioResampler(format="fltp", layout=layout, rate=RATE_HZ)
    at = 0  # samples of the film that have their sound
    for packet in clip.demux(track):
        for decoded in packet.decode():
            if decoded.time is None:
                continue
            due = round((decoded.time - zero_s + shift_s) * RATE_HZ)
            for frame in resampler.resample(decoded):
                due, begins = due + frame.samples, due
                if due <= 0:
                    continue
                if at / RATE_HZ >= ends_s:
                    return
                if begins > at:
                    silence = np.zeros((frame.to_ndarray().shape[0], begins - at), np.float32)
                    yield _frame(silence, layout, at)
                    at = begins
                heard = frame.to_ndarray()[:, max(0, -begins) :]
                yield _frame(heard, layout, at)
                at += heard.shape[1]


def _frame(samples: NDArray[Any], layout: str, pts: int) -> "av.AudioFrame":
    """[channels, n] as a frame at sample `pts`."""
    import av

    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, pts, Fraction(1, RATE_HZ)
    return frame
