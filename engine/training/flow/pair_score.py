"""How far a network got, on people it was not trained on.

    python -m engine.training.flow.pair_score --network code/network.pt --data test-pairs

Explained is 1 − RMS(predicted − true) / RMS(true) over everything of one kind: motion codes (units counting as far as
they move a face), and flow and depth of avatars driven by codes and by the truth, where the avatar moves by more than
half a pixel of 256². 0 is what doing nothing earns. "live": with the true code, and the avatar's appearance
brought back to what is usual, as in a session.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.flow.network.appearance import Appearance
from engine.flow.network.checkpoint import load_checkpoint
from engine.flow.network.layers import identity_grid
from engine.flow.network.network import FaceNetwork
from engine.training.flow.losses import PIXELS_PER_DEPTH
from engine.training.flow.pair_samples import unit_importance
from engine.training.flow.pairs import PairFolder, from_bytes, from_words, pair_folders

_MOVING_PX = 0.5

Array = NDArray[np.float64]


class _Explained:
    """Squares of errors and of the truth."""

    def __init__(self) -> None:
        self._wrong = self._true = 0.0

    def add(self, predicted: Array, true: Array, weight: Array | float = 1.0) -> None:
        self._wrong += float((weight * np.square(predicted - true)).sum())
        self._true += float((weight * np.square(true)).sum())

    def figure(self) -> float:
        return 1.0 - float(np.sqrt(self._wrong / self._true)) if self._true > 0 else float("nan")


@torch.no_grad()
def score(network: FaceNetwork, people: list[PairFolder]) -> dict[str, float]:
    """Explained shares by name; those of flow and depth only where there are avatars."""
    names = [f"{kind}_{of}" for of in ("driver", "color_only") for kind in ("code", "flow", "depth")]
    explained = {name: _Explained() for name in (*names, "flow_truth", "depth_truth")}
    importance = unit_importance().astype(np.float64)
    for person in people:
        true = person.weights.astype(np.float64) - person.weights[0]
        codes = {}
        for of in ("driver", "color_only"):
            alpha = network.enc.motion(torch.from_numpy(from_words(np.array(person[of]))))
            codes[of] = alpha - alpha[:1]  # relative to the neutral
        for of, code in codes.items():
            explained[f"code_{of}"].add(code.double().numpy(), true, importance)
        if person.has_avatar:
            codes["truth"] = torch.from_numpy(true).float()
            for of, code in codes.items():
                _add_motion(network, person, code, explained[f"flow_{of}"], explained[f"depth_{of}"])
    return {name: each.figure() for name, each in explained.items() if not np.isnan(each.figure())}


@torch.no_grad()
def truth_score(network: FaceNetwork, appearance: Appearance | None, people: list[PairFolder]) -> tuple[float, float]:
    """Explained share of flow and depth where the true units move the avatars, as the network runs live."""
    flow, depth = _Explained(), _Explained()
    for person in people:
        code = torch.from_numpy(person.weights - person.weights[0])
        _add_motion(network, person, code, flow, depth, appearance)
    return flow.figure(), depth.figure()


def _add_motion(
    network: FaceNetwork,
    person: PairFolder,
    code: Tensor,
    flow: _Explained,
    depth: _Explained,
    appearance: Appearance | None = None,
) -> None:
    """Flow and depth of the person's avatar, both relative to what the network makes of the neutral."""
    source = torch.from_numpy(from_words(np.array(person["source"])))
    h, alpha, features = network.enc(source)
    if appearance is not None:
        h = appearance.brought_back(h)
        alpha = network.enc.fc(h)
    offsets, depths = [], []
    for row in code:
        rgbd = network.dec(h + network.dec.direction(alpha + row[None]), features)
        motion = network.student_dec.motion(rgbd.flow_logits, rgbd.latent)[0]
        offsets.append((motion - identity_grid(motion.shape[1]))[0])
        depths.append(rgbd.depth[0, 0])
    wanted = np.array(person["offset"]).astype(np.float64) * 128
    surface = from_words(np.array(person["target"][:, 3])).astype(np.float64) * PIXELS_PER_DEPTH
    known = from_bytes(np.array(person["known"])).astype(np.float64)
    way = np.stack([(offset - offsets[0]).numpy() for offset in offsets]).astype(np.float64) * 128
    rise = np.stack([(own - depths[0]).numpy() for own in depths]).astype(np.float64) * PIXELS_PER_DEPTH
    moving = known * (np.linalg.norm(wanted, axis=-1) > _MOVING_PX)
    flow.add(way, wanted, moving[..., None])
    depth.add(rise, surface - surface[:1], moving * known[:1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--network", type=Path, required=True, help="a checkpoint, of a finished run or of one going on"
    )
    parser.add_argument("--data", type=Path, required=True, help="people made with make_pairs --split test")
    arguments = parser.parse_args()
    loaded, people = load_checkpoint(arguments.network), pair_folders(arguments.data)
    figures = score(loaded.network, [person for person in people if person.has_driver])
    avatars = [person for person in people if person.has_avatar]
    if avatars:
        figures["flow_live"], figures["depth_live"] = truth_score(loaded.network, loaded.appearance, avatars)
    for name, figure in figures.items():
        print(f"{name:16} {figure:.3f}")


if __name__ == "__main__":
    main()
