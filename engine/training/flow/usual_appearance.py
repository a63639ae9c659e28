"""Adds to a network what the avatars that it was trained on usually look like (`Appearance`).

    python -m engine.training.flow.usual_appearance NETWORK.pt [--people 40 | --pairs FOLDER]

To be run once, after the last stage, on avatars of the split "train".
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from calib.survey.face_finder import FaceFinder
from capture.synthetic.studio.people import random_person
from core.errors import InputError
from engine.flow.network.appearance import Appearance
from engine.flow.network.checkpoint import load_checkpoint, save_checkpoint
from engine.flow.network.network import FaceNetwork
from engine.training.flow.avatar_shots import AvatarStage, as_prepared
from engine.training.flow.make_pairs import AVATARS_FROM
from engine.training.flow.pairs import from_words, pair_folders

_WITHIN = 0.9  # of the avatars lie within the reach: what lies beyond was hardly ever seen


@torch.no_grad()
def usual_appearance(network: FaceNetwork, sources: Tensor) -> Appearance:
    """Of avatars' pictures [B, 4, N, N] at rest, of the network's own size."""
    codes = torch.cat([network.enc.net_app(source[None])[0] for source in sources])
    usual = codes.mean(dim=0)
    reach = torch.quantile((codes - usual).norm(dim=1), _WITHIN)
    return Appearance(usual, float(reach))


def rendered_avatars(count: int, size: int) -> Tensor:
    """[count, 4, size, size] random people at rest, as their preparation pictures them."""
    sources: list[Tensor] = []
    with FaceFinder() as finder:
        number = AVATARS_FROM
        while len(sources) < count:
            rng = np.random.default_rng([number, 11])
            person = random_person(number, "train", float(rng.choice([1.0, 1.6])), bust=True)
            number += 1
            try:
                with AvatarStage(person, as_prepared(finder, rng), size) as stage:
                    sources.append(torch.from_numpy(stage.source))
            except ValueError:  # no face was found
                continue
    return torch.stack(sources)


def trained_avatars(root: Path) -> Tensor:
    """[n, 4, N, N] the avatars of a training set at rest. Raises InputError where there are none."""
    people = [person for person in pair_folders(root) if person.has_avatar]
    if not people:
        raise InputError(f"{root}: holds drivers only; run make_pairs without --drivers")
    return torch.from_numpy(np.stack([from_words(np.array(person["source"][0])) for person in people]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=Path, help="a checkpoint of this project, which is written again")
    parser.add_argument("--people", type=int, default=40, help="so many rendered people of the built-in head")
    parser.add_argument("--pairs", type=Path, help="the avatars of this training set instead")
    arguments = parser.parse_args()
    loaded = load_checkpoint(arguments.network)
    if arguments.pairs is not None:
        sources = trained_avatars(arguments.pairs)
    else:
        sources = rendered_avatars(arguments.people, loaded.network.config.image_size)
    appearance = usual_appearance(loaded.network, sources)
    save_checkpoint(arguments.network, loaded.network, step=loaded.step, appearance=appearance)
    print(f"{arguments.network}: {len(sources)} avatars lie within {appearance.reach:.2f} of the usual appearance")


if __name__ == "__main__":
    main()
