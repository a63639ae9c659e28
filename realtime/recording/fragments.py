"""Films that grow: MP4 in fragments and Matroska in clusters, each a fifth of a second, and what is whole of one that a
killed process left."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from core.errors import InputError
from realtime.recording.recording_folder import RecordingError, SyncedFile, sync_folder
from realtime.session.folder_names import partial_of

if TYPE_CHECKING:
    from av.container import OutputContainer

FRAGMENT_US: Final = 200_000
_MOST_BOXES = 1_000_000  # a week of fragments
_SEGMENT, _CLUSTER, _HEADER = b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75", b"\x1a\x45\xdf\xa3"


def open_mp4(file: SyncedFile) -> OutputContainer:
    """A container whose fragments are on the disk as they are full."""
    import av

    options = {"movflags": "empty_moov+default_base_moof", "frag_duration": str(FRAGMENT_US), "flush_packets": "1"}
    return av.open(file, "w", format="mp4", options=options)


def open_matroska(file: SyncedFile) -> OutputContainer:
    """The same for what MP4 has no code for."""
    import av

    options = {"cluster_time_limit": str(FRAGMENT_US // 1000), "flush_packets": "1"}
    return av.open(file, "w", format="matroska", options=options)


def finish_film(path: Path) -> bool:
    """Complete the film that a killed process left in place of `path`; False where there is none.

    Its last fragment, which may be torn, goes. Raises InputError where not one fragment is whole; it is left then.
    """
    partial = partial_of(path)
    if partial.is_symlink() or not partial.is_file():
        return False
    whole_bytes = whole_clusters if path.suffix == ".mkv" else whole_fragments
    try:
        whole = whole_bytes(partial)
        if not whole:
            raise InputError(f"{partial}: not one fragment of the film is complete; it is left as it is")
        with partial.open("r+b") as file:
            file.truncate(whole)
            os.fsync(file.fileno())
        partial.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise RecordingError.of(path, error) from error
    return True


def whole_fragments(path: Path) -> int:
    """Bytes up to the end of the last fragment (boxes `moof` and `mdat`, ISO 14496-12) that is there in full; or 0."""
    size, at, end, kind_before = path.stat().st_size, 0, 0, b""
    with path.open("rb") as file:
        for _ in range(_MOST_BOXES):
            file.seek(at)
            head = file.read(16)
            if len(head) < 8:
                break
            length, kind = struct.unpack(">I4s", head[:8])
            if length == 1 and len(head) == 16:
                length = int.from_bytes(head[8:])
            if length < 8 or at + length > size:
                break
            at += length
            if kind == b"mdat" and kind_before == b"moof":
                end = at
            kind_before = kind
    return end


def whole_clusters(path: Path) -> int:
    """Bytes up to the end of the last cluster (RFC 9559) that is there in full; or 0."""
    size, end = path.stat().st_size, 0
    with path.open("rb") as file:
        kind, at, length = _element(file, 0)
        if kind != _HEADER or length is None:
            return 0
        kind, at, _ = _element(file, at + length)
        if kind != _SEGMENT:
            return 0
        for _ in range(_MOST_BOXES):
            kind, begins, length = _element(file, at)
            if not kind or length is None or begins + length > size:
                break
            at = begins + length
            if kind == _CLUSTER:
                end = at
    return end


def _element(file: IO[bytes], at: int) -> tuple[bytes, int, int | None]:
    """Of the EBML element at `at`: its identifier (empty where there is none), where its content begins, and its
    length; None where that is open."""
    file.seek(at)
    head = file.read(12)
    id_bytes = _leading(head[:1], 4)
    size_bytes = _leading(head[id_bytes : id_bytes + 1], 8)
    if not id_bytes or not size_bytes or len(head) < id_bytes + size_bytes:
        return b"", at, None
    stated = int.from_bytes(head[id_bytes : id_bytes + size_bytes])
    mask = (1 << 7 * size_bytes) - 1
    length = stated & mask
    return head[:id_bytes], at + id_bytes + size_bytes, None if length == mask else length


def _leading(byte: bytes, most: int) -> int:
    """How many bytes a number of variable length takes, by its first; 0 where it is none."""
    taken = 9 - byte[0].bit_length() if byte else 0
    return taken if 1 <= taken <= most else 0


def pictures_in(path: Path) -> int:
    """How many pictures a film holds. Raises InputError where it cannot be read."""
    import av.error

    from capture.recordings.video_file import open_container

    try:
        with open_container(path) as container:
            return sum(packet.size > 0 for packet in container.demux(video=0))
    except (av.error.FFmpegError, OSError, ValueError, IndexError) as error:  # IndexError: no pictures in it
        told = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: is damaged ({told}); the session is played without it") from None
