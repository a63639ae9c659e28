"""Where networks lie that were tuned to one avatar (`vfa prepare --tune-flow`)."""

import hashlib
from pathlib import Path

import numpy as np

from calib.avatar import Avatar
from calib.close_up import network_picture
from engine.flow.ours.shipped import COMPACT_FILE

_VERSION = b"1"


def tuned_folder(avatar: Avatar, cache_dir: Path) -> Path:
    """Of an avatar's tuning: it changes with the head, with its units' places and with the network tuned from."""
    digest = hashlib.sha256(_VERSION)
    controllers = avatar.rig.controllers.rest
    for array in (network_picture(avatar, head_motion=False), avatar.display_mesh.vertices, controllers):
        digest.update(np.ascontiguousarray(array).data)
    with COMPACT_FILE.open("rb") as file:
        digest.update(hashlib.file_digest(file, "sha256").digest())
    return cache_dir / "tuned" / digest.hexdigest()[:24]


def tuned_file(avatar: Avatar, cache_dir: Path) -> Path:
    """The tuned network; it need not be there."""
    return tuned_folder(avatar, cache_dir) / "network.pt"
