"""Named views of a stored image, for test-time augmentation in evaluation and in serving.

| name | what the model sees |
| --- | --- |
| `identity` | the centre crop, as in validation |
| `flip` | the centre crop, mirrored left to right |
| `shift_<up, down, left or right>_<pixels>` | the content moved that way |
| `top_left`, `top_right`, `bottom_left`, `bottom_right` | the crop in that corner |
| `scale_<factor>` | the content enlarged (factor above 1), or more of the image (below 1) |
| any of these with `+flip` | the same, mirrored |
| `five_crop`, `ten_crop` | sets: the centre and the corners, and these with their mirror images |

Needs NumPy and Pillow only, so that a server can use the same views.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from PIL import Image

from classifier.core.errors import UserError
from classifier.processing.images import Box

# The name of the centre crop, which validation and a plain evaluation use.
CENTRE = "identity"
CORNERS = ("top_left", "top_right", "bottom_left", "bottom_right")
# The ten crops are those of Krizhevsky et al., "ImageNet classification with deep convolutional
# neural networks", 2012.
SETS = {
    "five_crop": ("identity", *CORNERS),
    "ten_crop": ("identity", *CORNERS, "flip", *(f"{corner}+flip" for corner in CORNERS)),
}
# Where the window goes, right and down, when the content moves.
_MOVES = {"up": (0, 1), "down": (0, -1), "left": (1, 0), "right": (-1, 0)}
_NAME = re.compile(
    rf"(?:(?P<place>identity|{'|'.join(CORNERS)})"
    rf"|shift_(?P<direction>{'|'.join(_MOVES)})_(?P<pixels>\d+)"
    r"|(?P<scale>scale)_(?P<factor>\d+(?:\.\d+)?))(?P<mirrored>\+flip)?"
)


class View(Protocol):
    """A way to show stored images to a model; caches tell views apart by their `repr`."""

    @property
    def name(self) -> str:
        """The name, as in the table above."""
        ...

    def __call__(self, images: np.ndarray, rows: np.ndarray, /) -> np.ndarray:
        """Show images to a model of `input_size`.

        Args:
            images: uint8 `(B, S, S, 3)`.
            rows: row of each image in the data set, int64 `(B,)`; random views depend on it.

        Returns:
            `(B, input_size, input_size, 3)`, uint8 or float32 in 0..255.
        """
        ...


class _Recipe(NamedTuple):
    """The meaning of a view's name, without the sizes."""

    place: str  # `identity`, a corner, a direction of _MOVES, or `scale`
    amount: float  # pixels of a shift or factor of a scale; 0 for the other places
    mirrored: bool


def expand_views(names: Sequence[str]) -> list[str]:
    """Replace the names of sets by the views in them.

    Raises:
        UserError: for an unknown name, and for a view that appears twice, under whatever name.
    """
    expanded = [view for name in names for view in SETS.get(name, (name,))]
    seen: dict[_Recipe, str] = {}
    for name in expanded:
        recipe = _parse(name)
        if recipe in seen:
            same = f"{name!r} appears twice"
            if name != seen[recipe]:
                same = f"{name!r} is the same view as {seen[recipe]!r}"
            raise UserError(f"{same}; name each view once (sets are {', '.join(SETS)}).")
        seen[recipe] = name
    return expanded


def named_view(name: str, stored_size: int, input_size: int) -> View:
    """Return the view of that name.

    Args:
        name: of a view, not of a set.
        stored_size: side of the stored images in pixels.
        input_size: side of the model input in pixels.

    Raises:
        UserError: for an unknown name, for a view that these sizes do not allow, and for a corner
            that would equal the centre.
    """
    assert 0 < input_size <= stored_size
    recipe = _parse(name)
    margin = stored_size - input_size
    left = top = margin // 2
    if recipe.place in CORNERS:
        if margin == 0:
            raise UserError(
                f"view {name!r} would equal 'identity': corner crops need split.stored_size "
                f"({stored_size}) larger than train.input_size ({input_size})."
            )
        left, top = margin * ("right" in recipe.place), margin * ("bottom" in recipe.place)
    if recipe.place in _MOVES:
        if recipe.amount >= input_size:
            raise UserError(
                f"view {name!r} moves the whole image out of sight; "
                f"shift it by less than train.input_size ({input_size})."
            )
        right, down = _MOVES[recipe.place]
        left, top = left + right * int(recipe.amount), top + down * int(recipe.amount)
    if recipe.place == "scale":
        return _Scaled(
            name, recipe.mirrored, input_size, _centre_box(name, recipe, stored_size, input_size)
        )
    return _Window(name, recipe.mirrored, input_size, left, top)


def _centre_box(name: str, recipe: _Recipe, stored_size: int, input_size: int) -> Box:
    # Rounded, since for instance 21 / 0.7 gives a little more than 30.
    side = round(input_size / recipe.amount, 6)
    if not 1 <= side <= stored_size:
        raise UserError(
            f"view {name!r} would take in {side:.1f} pixels a side of a stored image's "
            f"{stored_size} (split.stored_size); with train.input_size {input_size}, "
            f"factors from {input_size}/{stored_size} to {input_size} fit."
        )
    first = (stored_size - side) / 2
    return first, first, stored_size - first, stored_size - first


def _parse(name: str) -> _Recipe:
    match = _NAME.fullmatch("identity+flip" if name == "flip" else name)
    amount = float(match["pixels"] or match["factor"] or 0) if match else 0
    if match is None or (match["factor"] and amount == 0):
        raise UserError(
            f"view {name!r} is unknown; views are identity, flip, {', '.join(CORNERS)}, "
            "shift_<up|down|left|right>_<pixels> and scale_<factor> (such as shift_up_2, "
            f"scale_1.1), each also with +flip, and the sets {', '.join(SETS)}."
        )
    place = match["place"] or match["direction"] or match["scale"]
    if (place in _MOVES and amount == 0) or (place == "scale" and amount == 1):
        place, amount = "identity", 0.0
    return _Recipe(place, amount, match["mirrored"] is not None)


@dataclass(frozen=True)
class _Window:
    """The square of side `input_size` whose first pixel is (`left`, `top`).

    Where it leaves the image, the nearest pixel is repeated.
    """

    name: str
    mirrored: bool
    input_size: int
    left: int
    top: int

    def __call__(self, images: np.ndarray, _rows: np.ndarray, /) -> np.ndarray:
        size = images.shape[1]
        right, bottom = self.left + self.input_size, self.top + self.input_size
        inside = images[:, max(self.top, 0) : bottom, max(self.left, 0) : right]
        missing_rows = (max(-self.top, 0), max(bottom - size, 0))
        missing_columns = (max(-self.left, 0), max(right - size, 0))
        if any(missing_rows + missing_columns):  # to pad nothing takes time, too
            inside = np.pad(inside, ((0, 0), missing_rows, missing_columns, (0, 0)), mode="edge")
        return _mirror(inside) if self.mirrored else np.ascontiguousarray(inside)


@dataclass(frozen=True)
class _Scaled:
    """The region `box` of the image, scaled to side `input_size`: bilinear, antialiased."""

    name: str
    mirrored: bool
    input_size: int
    box: Box

    def __call__(self, images: np.ndarray, _rows: np.ndarray, /) -> np.ndarray:
        side = (self.input_size, self.input_size)
        opened = (Image.fromarray(image) for image in images)
        scaled = [image.resize(side, Image.Resampling.BILINEAR, self.box) for image in opened]
        seen = np.stack([np.asarray(image) for image in scaled])
        return _mirror(seen) if self.mirrored else seen


def _mirror(images: np.ndarray) -> np.ndarray:
    # PyTorch takes no array that is read backwards.
    return np.ascontiguousarray(images[:, :, ::-1])
