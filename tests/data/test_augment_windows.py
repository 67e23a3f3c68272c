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

from classifier.data.augment import augment, draw_table
from classifier.data.augment_params import AugmentParams
from classifier.processing.images import center_crop

PADDINGS = ["zeros", "edge", "reflect"]


def noise(count: int, size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def augmented(
    images: np.ndarray, params: AugmentParams, *, input_size: int, seed: int = 0, epoch: int = 1
) -> np.ndarray:
    count, size = images.shape[:2]
    table = draw_table(
        params, seed=seed, epoch=epoch, size=count, stored_size=size, input_size=input_size
    )
    return augment(torch.from_numpy(images), table, params, input_size).numpy()


def mirrored(shown: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Which of the images are shown as their mirror image; all others must be as they are."""
    found = (shown == images[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (found ^ (shown == images).all(axis=(1, 2, 3))).all()
    return found


@pytest.mark.parametrize(("size", "input_size"), [(8, 8), (9, 4), (10, 7)])
def test_all_off_gives_the_exact_centre_crop(size: int, input_size: int) -> None:
    images = noise(3, size)
    result = augmented(images, tiny_augment(), input_size=input_size)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, center_crop(images, input_size))


@pytest.mark.parametrize(("size", "input_size"), [(8, 8), (9, 4), (10, 7), (224, 192)])
def test_flip_of_1_gives_the_mirror_image_of_the_centre_crop(size: int, input_size: int) -> None:
    images = noise(3, size)
    result = augmented(images, tiny_augment(flip=1.0), input_size=input_size)
    np.testing.assert_array_equal(result, center_crop(images, input_size)[:, :, ::-1])


def test_flip_mirrors_that_share_of_the_images() -> None:
    images = np.repeat(noise(1, 4), 1000, axis=0)
    result = augmented(images, tiny_augment(flip=0.3), input_size=4)
    assert mirrored(result, images).mean() == pytest.approx(0.3, abs=0.05)


@pytest.mark.parametrize(
    ("padding", "numpy_mode"), [("zeros", "constant"), ("edge", "edge"), ("reflect", "symmetric")]
)
@pytest.mark.parametrize(("size", "input_size", "padded"), [(6, 6, 2), (7, 5, 1), (5, 4, 0)])
def test_padded_crops_are_exact_windows_and_all_of_them_occur(
    padding: str, numpy_mode: Any, size: int, input_size: int, padded: int
) -> None:
    image = noise(1, size)[0]
    params = tiny_augment(crop_padding=padded, padding=padding)
    results = augmented(np.repeat(image[None], 400, axis=0), params, input_size=input_size)
    around = np.pad(image, ((padded, padded), (padded, padded), (0, 0)), mode=numpy_mode)
    places = size - input_size + 2 * padded + 1
    windows = {
        (top, left): around[top : top + input_size, left : left + input_size]
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
    input_size = max(2, size - cut)
    padded = padded if padded is None else min(padded, input_size - 1)
    params = tiny_augment(flip=flip, crop_padding=padded, padding=padding)
    images = torch.from_numpy(noise(6, size))
    table = draw_table(params, seed=seed, epoch=1, size=6, stored_size=size, input_size=input_size)
    grid = affine_grid(table.maps, [6, 3, input_size, input_size], align_corners=False)
    mode = {"zeros": "zeros", "edge": "border", "reflect": "reflection"}[padding]
    planes = images.permute(0, 3, 1, 2).float()
    expected = grid_sample(planes, grid, "bilinear", mode, align_corners=False)
    copied = augment(images, table, params, input_size)
    np.testing.assert_allclose(copied, expected.permute(0, 2, 3, 1), atol=0.01)


def alternating(seed: int, epoch: int) -> np.ndarray:
    """Which of 1000 images alternating flips show mirrored."""
    images = np.repeat(noise(1, 4), 1000, axis=0)
    params = tiny_augment(flip=0.5, alternate_flips=True)
    result = augmented(images, params, input_size=4, seed=seed, epoch=epoch)
    return mirrored(result, images)


def test_alternating_flips_show_every_image_each_way_in_any_two_epochs() -> None:
    epochs = [alternating(0, epoch) for epoch in range(1, 6)]
    assert all((one ^ following).all() for one, following in pairwise(epochs))


def test_alternating_flips_mirror_about_half_of_the_images_by_lot() -> None:
    # Five standard deviations of a binomial distribution.
    near_half = pytest.approx(0.5, abs=5 * (0.25 / 1000) ** 0.5)
    first, second = alternating(0, 1), alternating(1, 1)
    assert first.mean() == near_half
    assert alternating(0, 2).mean() == near_half
    assert (first ^ second).mean() == near_half
