"""Which kind of training data a folder holds."""

import logging
from pathlib import Path

from core.errors import InputError
from engine.flow.network.config import NetworkConfig
from engine.training.loop.feed import Samples
from engine.training.options import TrainOptions

log = logging.getLogger(__name__)


def has_truth(root: Path) -> bool:
    """Whether it was made by `make_pairs`."""
    return next(root.glob("*/weights.npy"), None) is not None


def open_samples(options: TrainOptions, config: NetworkConfig) -> Samples:
    """The samples of `options.data`, checked as far as that goes quickly. Raises InputError where there are none."""
    if has_truth(options.data):
        from engine.training.flow.pair_samples import PairSamples

        drivers = not options.learning.truth_code
        pairs = PairSamples(options.data, options.stage, options.samples, drivers=drivers)
        if pairs.image_size != config.image_size:
            raise InputError(
                f"{options.data}: pictures of {pairs.image_size} pixels, the network works on {config.image_size}; "
                "give --size compact or other data"
            )
        return pairs
    from engine.training.flow.clip_samples import ClipSamples

    if not config.head_motion:
        log.warning("%s: the network is made for cuts that stay on the head, which rendered pairs have", options.data)
    return ClipSamples(options.data, config.image_size, options.samples)
