"""One description of sizes: the published network and small ones are the same code."""

from dataclasses import asdict, dataclass, field
from typing import Any

from render.errors import InputError

_PUBLISHED_WIDTHS = {4: 512, 8: 512, 16: 512, 32: 512, 64: 256, 128: 128, 256: 64}


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of encoder, RGBD generator and flow generator. The defaults are the published network's.

    Attributes:
        image_size: side of the square input and output, a power of two.
        widths: number of channels by resolution, for every power of two from 4 to `image_size`.
        style_dim: length of the latent code.
        motion_dim: directions in the motion dictionary.
        depth_motion_dim: directions in each depth head's motion dictionary.
        input_channels: 4 for RGB and depth.
        inpaint_widths: channels of the flow generator's picture branch at full, half and quarter size.
        inpaint_blocks: residual blocks in that branch.
        pixel_scale: side of the pictures at the network's border over `image_size`. Above 1 the live graph averages
            blocks of pixels on the way in and enlarges flow and depth on the way out.
        head_motion: whether flow holds the driver's head motion, as published. Otherwise the network was trained on
            cuts that stay on the head (`capture.head_crop`) and to repeat the expression alone.
    """

    image_size: int = 256
    widths: dict[int, int] = field(default_factory=lambda: dict(_PUBLISHED_WIDTHS))
    style_dim: int = 512
    motion_dim: int = 20
    depth_motion_dim: int = 5
    input_channels: int = 4
    inpaint_widths: tuple[int, int, int] = (32, 64, 128)
    inpaint_blocks: int = 5
    pixel_scale: int = 1
    head_motion: bool = True

    def __post_init__(self) -> None:
        size = self.image_size
        if size < 8 or size & (size - 1):
            raise InputError(f"network config: image_size must be a power of two from 8 on, got {size}; use 256")
        missing = [r for r in self.resolutions(from_size=4) if self.widths.get(r, 0) < 1]
        if missing:
            raise InputError(f"network config: widths lack a positive entry for resolutions {missing}; add them")
        for name in ("style_dim", "motion_dim", "depth_motion_dim", "input_channels", "inpaint_blocks", "pixel_scale"):
            if getattr(self, name) < 1:
                raise InputError(f"network config: {name} must be at least 1, got {getattr(self, name)}")
        narrowest = min(self.widths[r] for r in self.resolutions())
        if self.depth_motion_dim > narrowest:
            raise InputError(
                f"network config: {self.depth_motion_dim} depth directions do not fit {narrowest} channels; use fewer"
            )
        if self.motion_dim > self.style_dim:
            raise InputError(
                f"network config: {self.motion_dim} motion directions do not fit a {self.style_dim}-value latent"
            )

    @property
    def picture_size(self) -> int:
        """Side of the pictures that are given and of the flow that comes back."""
        return self.image_size * self.pixel_scale

    def resolutions(self, from_size: int = 8) -> list[int]:
        """Powers of two from `from_size` to the image size, coarse first."""
        return [2**e for e in range(from_size.bit_length() - 1, self.image_size.bit_length())]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> "NetworkConfig":
        """The inverse of `to_dict`, tolerant of JSON's string keys. Raises InputError for what does not fit."""
        try:
            values = dict(values)
            values["widths"] = {int(k): int(v) for k, v in values["widths"].items()}
            values["inpaint_widths"] = tuple(int(v) for v in values["inpaint_widths"])
            return NetworkConfig(**values)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"network config: expected the fields of NetworkConfig, got {sorted(map(str, values))}; "
                "save the checkpoint again with this version"
            ) from error


PUBLISHED = NetworkConfig()

COMPACT = NetworkConfig(
    image_size=128,
    widths={4: 128, 8: 128, 16: 128, 32: 72, 64: 32, 128: 8},
    style_dim=128,
    motion_dim=52,
    inpaint_widths=(8, 16, 32),
    inpaint_blocks=2,
    pixel_scale=2,
    head_motion=False,
)
"""This project's own: no level of 256², one motion direction for each expression unit."""
