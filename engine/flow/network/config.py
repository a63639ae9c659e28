"""One description of sizes: the published network and small ones are the same code."""

from dataclasses import asdict, dataclass, field
from typing import Any

from core.errors import InputError

_WIDEST = 4096
_MOST = {
    "image_size": 1024,
    "style_dim": _WIDEST,
    "motion_dim": _WIDEST,
    "depth_motion_dim": 64,
    "input_channels": 64,
    "inpaint_blocks": 64,
    "pixel_scale": 16,
}
"""Sizes come from files, too: nothing is made that could not be a network of this kind."""
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
            cuts that stay on the head (`capture.face.head_crop`) and to repeat the expression alone.
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
        for name, most in _MOST.items():
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= most:
                raise InputError(f"network config: {name} must be from 1 to {most}, got {value!r:.40}")
        size = self.image_size
        if size < 8 or size & (size - 1):
            raise InputError(f"network config: image_size must be a power of two from 8 on, got {size}; use 256")
        for resolution in self.resolutions(from_size=4):
            width = self.widths.get(resolution)
            if type(width) is not int or not 1 <= width <= _WIDEST:
                raise InputError(
                    f"network config: widths need 1 to {_WIDEST} channels for {resolution}, got {width!r:.40}"
                )
        inpaint = self.inpaint_widths
        if len(inpaint) != 3 or not all(type(width) is int and 1 <= width <= _WIDEST for width in inpaint):
            raise InputError(f"network config: inpaint_widths must be three from 1 to {_WIDEST}, got {inpaint!r:.60}")
        if type(self.head_motion) is not bool:
            raise InputError(f"network config: head_motion must be true or false, got {self.head_motion!r:.40}")
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
            values["widths"] = {int(size): width for size, width in values["widths"].items()}
            values["inpaint_widths"] = tuple(values["inpaint_widths"])
            return NetworkConfig(**values)
        except InputError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError):
            raise InputError(
                "network config: expected the fields of NetworkConfig, "
                f"got {[str(name)[:20] for name in values][:20]}; save the checkpoint again with this version"
            ) from None


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
