"""Adds to a network what the avatars that it was trained on usually look like (`Appearance`).

    python -m engine.training.flow.usual_appearance NETWORK.pt [--people 40]

To be run once, after the last stage, on avatars of the split "train".
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from calib.survey.face_finder import FaceFinder
from capture.synthetic.studio.people import random_person
from engine.flow.network.appearance import Appearance
from engine.flow.network.checkpoint import load_checkpoint, save_checkpoint
from engine.flow.network.network import FaceNetwork
from engine.training.flow.avatar_shots import AvatarStage
from engine.training.flow.make_pairs import AVATARS_FROM

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
                with AvatarStage(person, finder, rng, size) as stage:
                    sources.append(torch.from_numpy(stage.source))
            except ValueError:  # no face was found
                continue
    return torch.stack(sources)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=Path, help="a checkpoint of this project, which is written again")
    parser.add_argument("--people", type=int, default=40)
    arguments = parser.parse_args()
    loaded = load_checkpoint(arguments.network)
    sources = rendered_avatars(arguments.people, loaded.network.config.image_size)
    appearance = usual_appearance(loaded.network, sources)
    save_checkpoint(arguments.network, loaded.network, step=loaded.step, appearance=appearance)
    print(f"{arguments.network}: {len(sources)} avatars lie within {appearance.reach:.2f} of the usual appearance")


if __name__ == "__main__":
    main()
