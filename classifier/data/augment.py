"""Random augmentation of whole batches, with no hidden state.

The augmentation of an image is a function of (seed, epoch, index of the image): `draw_table` draws
the parameters of a whole epoch at once, `augment` applies the rows of a batch. So the result does
not depend on the order of batches, on workers or on the number of processes, and a resumed run
needs no state of a random generator. Flip, crop, scale and rotation compose into one affine map
per image and one bilinear sampling (flips and shifts by whole pixels are copied, which is faster);
colour is arithmetic.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from classifier.core.random import stream
from classifier.data.augment_params import AugmentParams
from classifier.data.transfer import to_device
from classifier.processing.images import center_window
from classifier.processing.pixel_modes import LUMINANCE

PADDING = {"zeros": "zeros", "edge": "border", "reflect": "reflection"}


class Table(NamedTuple):
    """Augmentation parameters of one epoch, row i for image i.

    Attributes:
        maps: float32 `(N, 2, 3)`, from output to input coordinates, both -1..1 (`affine_grid`).
        colours: float32 `(N, 3)`, factors of brightness, contrast, saturation.
        corners: int64 `(N, 2)`, column and row of the first pixel of the crop, used where
            nothing is interpolated.
    """

    maps: Tensor
    colours: Tensor
    corners: Tensor

    def rows(self, rows: np.ndarray, device: torch.device) -> "Table":
        """Return the rows of a batch, on the device of its images."""
        index = torch.from_numpy(rows)
        return Table(*(to_device(part[index], device) for part in self))


def draw_table(
    params: AugmentParams, *, seed: int, epoch: int, size: int, stored_size: int, input_size: int
) -> Table:
    """Draw the augmentation parameters of one epoch.

    Args:
        params: What is varied, and how much.
        seed: Of the run.
        epoch: Counted from 1 in training.
        size: Number of images in the data set.
        stored_size: Side of the stored images in pixels.
        input_size: Side of the augmented images in pixels.
    """
    draws = stream("augment", seed, epoch).random((size, 9))
    flip, left, top, area, ratio, angle, *colour = draws.T
    width, height, center_x, center_y = _windows(
        params, np.stack([left, top, area, ratio]), stored_size, input_size
    )
    mirrored = flip < params.flip
    if params.alternate_flips:
        mirrored = _alternating(seed, epoch, size)
    mirror = np.where(mirrored, -1.0, 1.0)
    radians = np.deg2rad(params.rotation * (2 * angle - 1))
    cosine, sine = np.cos(radians), np.sin(radians)
    maps = np.stack(
        [
            np.stack([cosine * width * mirror, -sine * height, center_x], axis=1),
            np.stack([sine * width * mirror, cosine * height, center_y], axis=1),
        ],
        axis=1,
    )
    strengths = np.array([params.brightness, params.contrast, params.saturation])
    colours = 1 + strengths * (2 * np.stack(colour, axis=1) - 1)
    centers = np.stack([center_x, center_y], axis=1)
    corners = np.rint(((centers + 1) * stored_size - input_size) / 2)
    return Table(
        torch.from_numpy(maps.astype(np.float32)),
        torch.from_numpy(colours.astype(np.float32)),
        torch.from_numpy(corners.astype(np.int64)),
    )


def _alternating(seed: int, epoch: int, size: int) -> np.ndarray:
    """Return which images are mirrored: a random half in one epoch, the others in the next.

    Every two epochs show both sides of each image (Jordan, arXiv 2404.00498, section 3.6).
    """
    return (stream("alternate flips", seed).random(size) < 0.5) ^ (epoch % 2 == 1)


def _windows(
    params: AugmentParams, draws: np.ndarray, stored_size: int, input_size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return width, height and centre (x, y) of each crop, in units of half the image."""
    left, top, area, ratio = draws
    if params.crop_scale is not None:
        # Szegedy et al., arXiv 1409.4842. A crop that is longer than the image is shortened to it
        # instead of drawn again, so that every image takes the same number of draws.
        area = params.crop_scale[0] + area * (params.crop_scale[1] - params.crop_scale[0])
        low, high = (math.log(bound) for bound in params.crop_ratio)
        aspect = np.exp(low + ratio * (high - low))
        width = np.minimum(np.sqrt(area * aspect), 1.0)
        height = np.minimum(np.sqrt(area / aspect), 1.0)
        return width, height, (2 * left - 1) * (1 - width), (2 * top - 1) * (1 - height)
    side = np.full(len(left), input_size / stored_size)
    if params.crop_padding is None:
        offset = np.full(len(left), center_window(stored_size, input_size).start)
        return (
            side,
            side,
            _center(offset, stored_size, input_size),
            _center(offset, stored_size, input_size),
        )
    places = stored_size - input_size + 2 * params.crop_padding + 1
    offset_x = np.floor(left * places) - params.crop_padding
    offset_y = np.floor(top * places) - params.crop_padding
    return (
        side,
        side,
        _center(offset_x, stored_size, input_size),
        _center(offset_y, stored_size, input_size),
    )


def _center(offset: np.ndarray, stored_size: int, input_size: int) -> np.ndarray:
    """Return the centre of a crop in -1..1, from the index of its first pixel."""
    return (2 * offset + input_size) / stored_size - 1


def augment(images: Tensor, table: Table, params: AugmentParams, input_size: int) -> Tensor:
    """Return augmented images, float32 `(B, input_size, input_size, 3)` in 0..255.

    Args:
        images: uint8 `(B, S, S, 3)`.
        table: The rows of these images, on the same device.
        params: Those that the table was drawn with.
        input_size: As in `draw_table`.
    """
    if params.resamples:
        planes = images.permute(0, 3, 1, 2).float()
        grid = _grid(table.maps, input_size)
        planes = grid_sample(planes, grid, "bilinear", PADDING[params.padding], align_corners=False)
    else:
        planes = _copy_windows(images, table, params, input_size).permute(0, 3, 1, 2)
    if params.changes_colour:
        planes = _change_colours(planes, table.colours)
    return planes.permute(0, 2, 3, 1)


def _grid(maps: Tensor, input_size: int) -> Tensor:
    """Return the input coordinates, in -1..1, of each pixel: `(B, input_size, input_size, 2)`.

    Equals PyTorch's `affine_grid` without `align_corners`, in a fraction of the time.
    """
    centers = (2 * torch.arange(input_size, device=maps.device) + 1) / input_size - 1
    across = maps[:, :, :1] * centers
    down = maps[:, :, 1:2] * centers + maps[:, :, 2:]
    return across.transpose(1, 2)[:, None] + down.transpose(1, 2)[:, :, None]


def _copy_windows(images: Tensor, table: Table, params: AugmentParams, input_size: int) -> Tensor:
    """Return the crops at `table.corners`, mirrored where `table.maps` are: as `augment`."""
    count, side = images.shape[:2]
    steps = torch.arange(input_size, device=images.device)
    backwards = table.maps[:, 0, :1] < 0
    across = table.corners[:, :1] + torch.where(backwards, steps.flip(0), steps)
    down = table.corners[:, 1:] + steps
    first = torch.arange(count, device=images.device)[:, None, None] * side
    rows = first + _inside(down, side, params)[:, :, None]
    pixels = rows * side + _inside(across, side, params)[:, None, :]
    windows = images.reshape(-1, 3).index_select(0, pixels.flatten())
    windows = windows.view(count, input_size, input_size, 3).float()
    if params.padding == "zeros" and params.crop_padding:
        windows *= (_within(down, side)[:, :, None] & _within(across, side)[:, None, :])[..., None]
    return windows


def _inside(places: Tensor, side: int, params: AugmentParams) -> Tensor:
    """Return `places` with those outside 0..side-1 moved to the edge, or reflected there."""
    if params.padding == "reflect":
        places = torch.where(places < 0, -1 - places, places)
        places = torch.where(places >= side, 2 * side - 1 - places, places)
    return places.clamp(0, side - 1)


def _within(places: Tensor, side: int) -> Tensor:
    return (places >= 0) & (places < side)


def _change_colours(planes: Tensor, factors: Tensor) -> Tensor:
    """Change brightness, then contrast about the mean grey, then saturation about each grey.

    The three are linear, so together they are one matrix and one offset for each image. Values are
    clipped to 0..255 after the last of them. planes: float `(B, 3, H, W)`.
    """
    brightness, contrast, saturation = factors[:, :, None, None].unbind(1)
    luminance = to_device(torch.tensor(LUMINANCE), planes.device)
    unchanged, grey = torch.eye(3, device=planes.device), luminance.expand(3, 3)
    matrix = brightness * contrast * (saturation * unchanged + (1 - saturation) * grey)
    # A product of matrices rounds an image by its place in the batch, on some processors.
    red, green, blue = (planes.mean(dim=(2, 3)) * luminance).unbind(1)
    mean_grey = red + green + blue
    offset = (1 - contrast) * brightness * mean_grey[:, None, None]
    changed = torch.baddbmm(offset, matrix, planes.flatten(2)).clamp_(0, 255)
    return changed.view_as(planes)
