"""Flips and crops of whole pixels, which are copied and not resampled."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from builders.tiny import tiny_augment
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import affine_grid, grid_sample

from classifier.data.augment import AugmentParams, augment, draw_table
from classifier.processing.images import center_crop

PADDINGS = ["zeros", "edge", "reflect"]


def noise(count: int, size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def augmented(
    pictures: np.ndarray, params: AugmentParams, *, crop: int, seed: int = 0, epoch: int = 1
) -> np.ndarray:
    count, size = pictures.shape[:2]
    table = draw_table(params, seed=seed, epoch=epoch, size=count, image_size=size, crop=crop)
    return augment(torch.from_numpy(pictures), table, params, crop).numpy()


def mirrored(shown: np.ndarray, pictures: np.ndarray) -> np.ndarray:
    """Which of the pictures are shown as their mirror image; all others must be as they are."""
    found = (shown == pictures[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (found ^ (shown == pictures).all(axis=(1, 2, 3))).all()
    return found


@pytest.mark.parametrize(("size", "crop"), [(8, 8), (9, 4), (10, 7)])
def test_all_off_gives_the_exact_centre_crop(size: int, crop: int) -> None:
    pictures = noise(3, size)
    result = augmented(pictures, tiny_augment(), crop=crop)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, center_crop(pictures, crop))


@pytest.mark.parametrize(("size", "crop"), [(8, 8), (9, 4), (10, 7), (224, 192)])
def test_flip_of_1_gives_the_mirror_image_of_the_centre_crop(size: int, crop: int) -> None:
    pictures = noise(3, size)
    result = augmented(pictures, tiny_augment(flip=1.0), crop=crop)
    np.testing.assert_array_equal(result, center_crop(pictures, crop)[:, :, ::-1])


def test_flip_mirrors_that_share_of_the_pictures() -> None:
    pictures = np.repeat(noise(1, 4), 1000, axis=0)
    result = augmented(pictures, tiny_augment(flip=0.3), crop=4)
    assert mirrored(result, pictures).mean() == pytest.approx(0.3, abs=0.05)


@pytest.mark.parametrize(
    ("padding", "numpy_mode"), [("zeros", "constant"), ("edge", "edge"), ("reflect", "symmetric")]
)
@pytest.mark.parametrize(("size", "crop", "padded"), [(6, 6, 2), (7, 5, 1), (5, 4, 0)])
def test_padded_crops_are_exact_windows_and_all_of_them_occur(
    padding: str, numpy_mode: Any, size: int, crop: int, padded: int
) -> None:
    picture = noise(1, size)[0]
    params = tiny_augment(crop_padding=padded, padding=padding)
    results = augmented(np.repeat(picture[None], 400, axis=0), params, crop=crop)
    around = np.pad(picture, ((padded, padded), (padded, padded), (0, 0)), mode=numpy_mode)
    places = size - crop + 2 * padded + 1
    windows = {
        (top, left): around[top : top + crop, left : left + crop]
        for top in range(places)
        for left in range(places)
    }
    found = set()
    for result in results:
        matching = [key for key, seen in windows.items() if np.array_equal(result, seen)]
        assert len(matching) == 1
        found.update(matching)
    assert found == set(windows)


@settings(max_examples=30, deadline=None)
@given(
    size=st.integers(3, 9),
    cut=st.integers(0, 3),
    padded=st.none() | st.integers(0, 8),
    padding=st.sampled_from(PADDINGS),
    flip=st.sampled_from([0.0, 0.5, 1.0]),
    seed=st.integers(0, 1000),
)
def test_copied_windows_are_what_sampling_by_the_table_gives(
    size: int, cut: int, padded: int | None, padding: str, flip: float, seed: int
) -> None:
    crop = max(2, size - cut)
    padded = padded if padded is None else min(padded, crop - 1)
    params = tiny_augment(flip=flip, crop_padding=padded, padding=padding)
    pictures = torch.from_numpy(noise(6, size))
    table = draw_table(params, seed=seed, epoch=1, size=6, image_size=size, crop=crop)
    grid = affine_grid(table.maps, [6, 3, crop, crop], align_corners=False)
    mode = {"zeros": "zeros", "edge": "border", "reflect": "reflection"}[padding]
    planes = pictures.permute(0, 3, 1, 2).float()
    expected = grid_sample(planes, grid, "bilinear", mode, align_corners=False)
    copied = augment(pictures, table, params, crop)
    np.testing.assert_allclose(copied, expected.permute(0, 2, 3, 1), atol=0.01)


def alternating(seed: int, epoch: int) -> np.ndarray:
    """Which of 1000 pictures alternating flips show mirrored."""
    pictures = np.repeat(noise(1, 4), 1000, axis=0)
    params = tiny_augment(flip=0.5, alternate_flips=True)
    result = augmented(pictures, params, crop=4, seed=seed, epoch=epoch)
    return mirrored(result, pictures)


def test_alternating_flips_show_every_picture_each_way_in_any_two_epochs() -> None:
    epochs = [alternating(0, epoch) for epoch in range(1, 6)]
    assert all((one ^ following).all() for one, following in pairwise(epochs))


def test_alternating_flips_mirror_about_half_of_the_pictures_by_lot() -> None:
    # Five standard deviations of a binomial distribution.
    near_half = pytest.approx(0.5, abs=5 * (0.25 / 1000) ** 0.5)
    first, second = alternating(0, 1), alternating(1, 1)
    assert first.mean() == near_half
    assert alternating(0, 2).mean() == near_half
    assert (first ^ second).mean() == near_half
