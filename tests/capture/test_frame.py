"""What counts as a camera's picture."""

import pytest

from core.errors import SourceError
from core.frame import check_picture_size


@pytest.mark.parametrize("size", [(16, 16), (640, 480), (480, 640), (160, 16), (16, 160), (4096, 3072)])
def test_ordinary_sizes_pass(size: tuple[int, int]) -> None:
    check_picture_size(*size, "camera")


@pytest.mark.parametrize("size", [(640, 1), (1, 640), (0, 0), (15, 15), (161, 16), (16, 161), (-640, 480), (640, 63)])
def test_absurd_sizes_are_refused_by_name(size: tuple[int, int]) -> None:
    with pytest.raises(SourceError, match=rf"^camera: .*got {size[0]}x{size[1]};"):
        check_picture_size(*size, "camera")
