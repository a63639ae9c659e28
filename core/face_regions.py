"""Which of the face landmarker's 478 points belong to what.

"left" and "right" mean the sides of the picture of a face that looks into the camera (no mirroring). Chains of a lip or
lid run from picture-left to picture-right corner and include both corners.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

FACE_LANDMARKS: Final = 468  # the mesh; the ten after it are the irises
ALL_LANDMARKS: Final = 478

UPPER_LIP: Final = (  # from the outline to the mouth's opening
    (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291),
    (76, 184, 74, 73, 72, 11, 302, 303, 304, 408, 306),
    (62, 183, 42, 41, 38, 12, 268, 271, 272, 407, 292),
    (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308),
)
LOWER_LIP: Final = (
    (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291),
    (76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306),
    (62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292),
    (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308),
)
UPPER_MOUTH_LINE: Final = UPPER_LIP[-1]
LOWER_MOUTH_LINE: Final = LOWER_LIP[-1]
MOUTH_CORNERS: Final = ((61, 76, 62, 78), (291, 306, 292, 308))
LIP_MIDDLES: Final = tuple(chain[5] for chain in (*UPPER_LIP, *LOWER_LIP))

UPPER_LIDS: Final = ((33, 246, 161, 160, 159, 158, 157, 173, 133), (362, 398, 384, 385, 386, 387, 388, 466, 263))
LOWER_LIDS: Final = ((33, 7, 163, 144, 145, 153, 154, 155, 133), (362, 382, 381, 380, 374, 373, 390, 249, 263))
UPPER_LID_FOLDS: Final = ((247, 30, 29, 27, 28, 56, 190), (414, 286, 258, 257, 259, 260, 467))
LOWER_LID_FOLDS: Final = ((25, 110, 24, 23, 22, 26, 112), (341, 256, 252, 253, 254, 339, 255))
IRISES: Final = ((468, 469, 470, 471, 472), (473, 474, 475, 476, 477))
"""Centre, then towards picture right, up, picture left, down."""
BROWS: Final = (
    (70, 63, 105, 66, 107, 46, 53, 52, 65, 55, 156, 193, 124, 35),
    (300, 293, 334, 296, 336, 276, 283, 282, 295, 285, 383, 417, 353, 265),
)

FACE_OVAL: Final = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152,
    148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
CHIN: Final = (152, 148, 377, 175, 171, 396, 199, 208, 428, 200, 201, 421)
NOSE_BRIDGE: Final = (168, 6, 197, 195, 5, 122, 351, 196, 419, 3, 248)
FOREHEAD: Final = (
    10,
    151,
    9,
    8,
    67,
    109,
    338,
    297,
    103,
    332,
    54,
    284,
    108,
    337,
    69,
    299,
    104,
    333,
    21,
    251,
    68,
    298,
    71,
    301,
)
TEMPLES_AND_EARS: Final = (127, 356, 162, 389, 234, 454, 93, 323)

SIDES: Final = (  # of the face, before ears and jaw: the outer row, and the one inside it
    (34, 227, 137, 177, 215, 139, 264, 447, 366, 401, 435, 368),
    (143, 116, 123, 147, 213, 138, 111, 372, 345, 352, 376, 433, 367, 340),
)

STABLE: Final = tuple(dict.fromkeys((*FOREHEAD, *NOSE_BRIDGE, *TEMPLES_AND_EARS, 33, 133, 362, 263)))
"""Points that hardly move with expression."""

RIGID: Final[tuple[tuple[float, tuple[int, ...]], ...]] = (
    (1.0, (168, 6, 197, 195, 5, 193, 417, 122, 351, 196, 419, 174, 399, 245, 465, 188, 412)),  # bridge of the nose
    (1.0, (33, 133, 362, 263)),  # corners of the eyes
    (0.7, (4, 1, 51, 281, 3, 248, 45, 275, 44, 274)),  # lower nose
    (0.4, (19, 94, 2)),
    (1.0, (151, 9, 8, 108, 337, 69, 299, 104, 333)),  # forehead, away from the hair
    (0.7, (116, 345, 117, 346, 118, 347, 111, 340, 143, 372, 35, 265, 34, 264, 139, 368)),  # cheekbones and temples
)
"""Points the rigid pose is measured on, and how far to trust each: those that expressions move least, none of them at
the outline of the face, where depth is worst."""


# fmt: off
SKULL_PARTS: Final[tuple[tuple[float, tuple[int, ...]], ...]] = (
    (1.0, (168, 6, 197, 195, 8, 193, 417, 122, 351, 196, 419, 174, 399, 245, 465, 188, 412)),  # bridge of the nose
    (1.0, (33, 133, 263, 362, 243, 463, 244, 464, 112, 341)),  # corners of the eyes
    (0.7, (10, 109, 338, 151, 108, 337, 69, 299, 9)),  # middle of the forehead
    (0.3, (67, 297, 103, 332, 104, 333, 68, 298)),  # its sides
    (0.2, (71, 301, 139, 368, 34, 264, 143, 372)),  # temples
    (0.5, (5, 4, 1, 51, 281, 3, 248, 45, 275, 44, 274, 19, 94, 98, 327)),  # lower nose
    (0.5, (47, 277, 114, 343, 126, 355, 128, 357)),  # flanks of the nose
    (0.5, (117, 346, 118, 347, 111, 340, 35, 265, 226, 446, 31, 261)),  # cheekbones
    (0.3, (100, 329, 101, 330, 119, 348, 120, 349, 116, 345)),  # below the eyes
)
# fmt: on
"""Parts that stay with the skull whatever the face does, and how far to trust each where a head's pose is found from
the canonical face. The outline is left out: its landmarks follow the silhouette and slide over the head by centimetres
as it turns (measured on rendered heads)."""


def eye_corners(eye: int) -> tuple[int, int]:
    """Picture-left and picture-right corner of eye 0 (picture-left) or 1."""
    chain = UPPER_LIDS[eye]
    return chain[0], chain[-1]


def mask(*chains: tuple[int, ...]) -> NDArray[np.bool_]:
    """[468] true at the landmarks of the chains."""
    result = np.zeros(FACE_LANDMARKS, dtype=bool)
    for chain in chains:
        result[list(chain)] = True
    return result


def upper_lip_mask() -> NDArray[np.bool_]:
    """[468] landmarks of the upper lip, corners left out: they belong to both lips."""
    return mask(*(chain[1:-1] for chain in UPPER_LIP))


def lower_lip_mask() -> NDArray[np.bool_]:
    """[468] landmarks of the lower lip, corners left out."""
    return mask(*(chain[1:-1] for chain in LOWER_LIP))
