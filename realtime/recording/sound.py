"""A sound, carried into a film."""

import logging
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from core.errors import InputError
from core.source import Sound
from core.whole_file import whole_file

if TYPE_CHECKING:
    import av
    from av.audio.stream import AudioStream
    from av.container import InputContainer

log = logging.getLogger(__name__)

RATE_HZ = 48_000
_LAYOUTS = {1: "mono", 2: "stereo"}
_AHEAD_S = 1.0  # decoders need a few packets until they are in order
_FADE = 240  # samples, 5 ms
_LONGEST_S = 1e7  # in place of for ever


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
            if not pictures.streams.video:
                raise InputError("the film holds no pictures")
            with whole_file(film) as partial, av.open(str(partial), "w", format=container) as out:
                _join(out, pictures, clip, sound, film_begins_s, codec)
    except (OSError, ValueError, av.error.FFmpegError, InputError) as error:
        log.warning("%s: stays without the sound of %s (%s)", film, sound.path, error)
        return False
    return True


def _join(
    out: "av.container.OutputContainer",
    pictures: "InputContainer",
    clip: "InputContainer",
    sound: Sound,
    film_begins_s: float,
    codec: str,
) -> None:
    """Pictures as they are and the clip's sound, one beside the other in time."""
    source, track = pictures.streams.video[0], clip.streams.audio[0]
    film = out.add_stream_from_template(source)
    channels = channels_of(track)
    layout = _LAYOUTS[channels]
    spoken = cast("AudioStream", out.add_stream(codec, rate=RATE_HZ, layout=layout))
    ends_s = (pictures.duration or 0) / 1e6
    frames = decoded_sound(clip, track, channels, sound, film_begins_s, ends_s=ends_s)
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


def channels_of(track: "AudioStream") -> int:
    """How many are kept of it: one or two."""
    return 1 if track.codec_context.channels == 1 else 2


def decoded_sound(
    clip: "InputContainer",
    track: "AudioStream",
    channels: int,
    sound: Sound,
    film_begins_s: float,
    *,
    begin: int = 0,
    ends_s: float = math.inf,
) -> Iterator["av.AudioFrame"]:
    """The clip's sound in frames whose times are the film's, silent before it begins, and between pieces where nothing
    is heard; none after the film's end.

    Args:
        begin: number of the first sample of the film that is wanted.
    """
    at, layout = begin, _LAYOUTS[channels]
    decoded = _decoded(clip, track, layout, sound.begins_s - film_begins_s, begin if sound.pieces is None else 0)
    for begins, samples in _cut(decoded, sound, film_begins_s):
        if begins + samples.shape[1] <= begin:
            continue
        if max(at, begins) / RATE_HZ >= ends_s:
            return
        if begins > at:
            yield _frame(np.zeros((samples.shape[0], begins - at), np.float32), layout, at)
            at = begins
        heard = samples[:, max(0, begin - begins) :]
        yield _frame(heard, layout, at)
        at += heard.shape[1]


def _decoded(
    clip: "InputContainer", track: "AudioStream", layout: str, shift_s: float, begin: int
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """The clip's sound, [channels, n], from a little before sample `begin` of the film on, and the number of its first
    sample after the film's begin."""
    import av

    shown = next(iter(clip.streams.video), None)
    zero_s = 0.0 if shown is None else float((shown.start_time or 0) * (shown.time_base or Fraction(0)))
    resampler = av.AudioResampler(format="fltp", layout=layout, rate=RATE_HZ)
    if (from_s := begin / RATE_HZ - shift_s + zero_s - _AHEAD_S) > 0:
        clip.seek(round(from_s / (track.time_base or Fraction(1, RATE_HZ))), stream=track)
    for packet in clip.demux(track):
        for decoded in packet.decode():
            if decoded.time is None:
                continue
            due = round((decoded.time - zero_s + shift_s) * RATE_HZ)
            for frame in resampler.resample(decoded):
                yield due, frame.to_ndarray().astype(np.float32, copy=False)
                due += frame.samples


def _cut(
    decoded: Iterator[tuple[int, NDArray[np.float32]]], sound: Sound, film_begins_s: float
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """What of it is in a piece, where that is heard. Pieces fade in and out, so that joints do not click."""
    if sound.pieces is None:
        yield from decoded
        return
    pieces = [piece.later(-film_begins_s) for piece in sound.pieces]
    spans = [
        (_sample(piece.begins_s), _sample(piece.ends_s), _sample(piece.from_s) - _sample(piece.begins_s))
        for piece in pieces
    ]
    for due, samples in decoded:
        for begins, ends, moved in spans:
            numbers = np.arange(max(begins + moved, due), min(ends + moved, due + samples.shape[1]))
            if len(numbers):
                near = np.minimum(numbers - moved - begins, ends - 1 - (numbers - moved)) / _FADE
                yield int(numbers[0] - moved), samples[:, numbers - due] * np.clip(near, 0, 1).astype(np.float32)


def _sample(time_s: float) -> int:
    return round(min(time_s, _LONGEST_S) * RATE_HZ)


def _frame(samples: NDArray[Any], layout: str, pts: int) -> "av.AudioFrame":
    """[channels, n] as a frame at sample `pts`."""
    import av

    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, pts, Fraction(1, RATE_HZ)
    return frame
