"""What the names in a file say of its pieces: nodes, meshes, groups and materials, in the words that artists use."""

from __future__ import annotations

import re
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.mesh import Mesh

_UP, _DOWN = r"(upper|top|up|maxill\w*)", r"(lower|bottom|down|low|mandib\w*)"
_TEETH = r"(teeth|tooth|gums?|dent(al|ures?))"
_BROWS = r"\blash|cilia|\bbrows?\b|eye ?(lash|brow|line)"
_BEARDS = r"facial ?hair|beard|mou?stache|stubble|goatee|side ?burn|whisker"
_GLASSES = r"(sun|eye) ?glass|\bglass(es)?\b|spectacle|eye ?wear|goggle|monocle"
_HATS = r"\bhats?\b|\bcaps?\b|helmet|head ?(set|phone|band|scarf|gear)|crown|tiara|\bhood\b"
_RULES: Final[tuple[tuple[str, str], ...]] = (  # the first that is found decides
    (f"{_BROWS}|{_BEARDS}", "follower"),
    (r"gland|caruncle|lacrimal|tear.?(line|duct|film)|meniscus", "follower"),
    (rf"{_GLASSES}|\bear ?rings?\b|jewel|piercing", "rigid"),
    (rf"{_HATS}|hair|fringe|\bbangs?\b|pony ?tail|\bbraid|\bwig\b|\bfur\b", "still"),
    (r"(mouth|oral) ?(lining|inside|interior|bag|cavity|sock)|inner ?mouth", "follower"),  # holds neither row of teeth
    (rf"\b{_TEETH}\b.*tongue|tongue.*\b{_TEETH}\b", "teeth"),  # of one piece: place tells what is which
    (r"tongue", "tongue"),
    (rf"{_UP} ?{_TEETH}|{_TEETH} ?{_UP}\b", "upper"),
    (rf"{_DOWN} ?{_TEETH}|{_TEETH} ?{_DOWN}\b", "lower"),
    (rf"\b{_TEETH}\b", "teeth"),
    (r"\beye(?! ?(lid|socket|shadow))|cornea|\biris|sclera|pupil", "eye"),
)
_MAJORITY = 0.8  # of a piece's faces: names of a few of them, such as a scalp painted as hair, say nothing of the whole


def plain_words(name: str) -> str:
    """Lower-case words of a name, whatever keeps them apart: "EyeLash_L.001" → "eye lash l"."""
    return " ".join(re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)).lower()


def meaning(name: str) -> str | None:
    """What a name says a piece is: follower, rigid, still, tongue, upper, lower, teeth, eye; None where nothing."""
    words = plain_words(name)
    return next((said for pattern, said in _RULES if re.search(pattern, words)), None)


def named_pieces(mesh: Mesh, component_of_vertex: NDArray[np.int64]) -> dict[int, tuple[str, str]]:
    """What the names say each component is, and the name of the part that says so."""
    component = component_of_vertex[mesh.faces[:, 0]]
    total = np.bincount(component)
    said: dict[int, dict[str, tuple[int, str]]] = {}
    for part in mesh.parts:
        found = meaning(part.name) or meaning(mesh.materials[part.material].name)
        if found is None:
            continue
        own = component[part.first_face : part.first_face + part.face_count]
        for number, count in zip(*(each.tolist() for each in np.unique(own, return_counts=True)), strict=True):
            before = said.setdefault(number, {}).get(found, (0, part.name))
            said[number][found] = (before[0] + count, before[1])
    best = {number: max(kinds.items(), key=lambda item: item[1][0]) for number, kinds in said.items()}
    return {
        number: (found, name) for number, (found, (count, name)) in best.items() if count >= _MAJORITY * total[number]
    }
