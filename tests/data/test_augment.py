import math
from typing import Any

import numpy as np
import pytest
import torch
from builders.tiny import tiny_augment
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError
from scipy.stats import kstest

from classifier.data.augment import Table, augment, draw_table
from classifier.data.augment_params import AugmentParams
from classifier.data.random_view import random_view
from classifier.processing.views import View

CPU = torch.device("cpu")
EVERYTHING = {
    "flip": 0.5,
    "crop_scale": [0.3, 1.0],
    "rotation": 20.0,
    "brightness": 0.3,
    "contrast": 0.3,
    "saturation": 0.3,
}


def noise(count: int, size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def augmented(
    images: np.ndarray, params: AugmentParams, *, input_size: int, epoch: int = 1
) -> np.ndarray:
    size = images.shape[1]
    table = draw_table(
        params, seed=0, epoch=epoch, size=len(images), stored_size=size, input_size=input_size
    )
    return augment(torch.from_numpy(images), table, params, input_size).numpy()


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    epoch=st.integers(1, 1000),
    sizes=st.tuples(*[st.integers(1, 40)] * 2),
)
def test_row_of_the_table_is_a_function_of_seed_epoch_and_index(
    seed: int, epoch: int, sizes: tuple[int, int]
) -> None:
    few, many = (
        draw_table(
            tiny_augment(**EVERYTHING),
            seed=seed,
            epoch=epoch,
            size=size,
            stored_size=8,
            input_size=6,
        )
        for size in sorted(sizes)
    )
    for of_many, of_few in zip(many, few, strict=True):
        assert torch.equal(of_many[: len(few.maps)], of_few)


@settings(max_examples=25, deadline=None)
@given(rows=st.lists(st.integers(0, 19), min_size=1, max_size=25))
@example(rows=[2])
@example(rows=[9])
@example(rows=[12])
def test_augmented_image_does_not_depend_on_the_batch_it_is_in(rows: list[int]) -> None:
    images, params = noise(20, 8), tiny_augment(**EVERYTHING)
    table = draw_table(params, seed=3, epoch=2, size=20, stored_size=8, input_size=6)
    chosen = np.array(rows)
    together = augment(torch.from_numpy(images), table, params, 6)
    batch = augment(torch.from_numpy(images[chosen]), table.rows(chosen, CPU), params, 6)
    assert torch.equal(batch, together[chosen])


def test_epochs_seeds_and_images_differ() -> None:
    images = np.repeat(noise(1, 8), 2, axis=0)
    params = tiny_augment(**EVERYTHING)

    def result(seed: int, epoch: int) -> torch.Tensor:
        table = draw_table(params, seed=seed, epoch=epoch, size=2, stored_size=8, input_size=8)
        return augment(torch.from_numpy(images), table, params, 8)

    assert not torch.equal(result(0, 1), result(0, 2))
    assert not torch.equal(result(0, 1), result(1, 1))
    assert not torch.equal(result(0, 1)[0], result(0, 1)[1])


def test_rotation_turns_by_the_drawn_angle_as_pillow_does() -> None:
    # A smooth image, on which the two ways to round and to pad hardly differ.
    y, x = np.mgrid[0:32, 0:32]
    grey = 128 + 60 * np.sin(x / 5) + 50 * np.cos(y / 7 + x / 9)
    image = np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)
    params = tiny_augment(rotation=90.0)
    table = draw_table(params, seed=0, epoch=1, size=6, stored_size=32, input_size=32)
    results = augment(torch.from_numpy(np.repeat(image[None], 6, axis=0)), table, params, 32)
    inside = (x - 15.5) ** 2 + (y - 15.5) ** 2 < 14**2
    for turned, place in zip(results.numpy(), table.maps.numpy(), strict=True):
        degrees = math.degrees(math.atan2(place[1, 0], place[0, 0]))
        expected = Image.fromarray(image).rotate(degrees, Image.Resampling.BILINEAR)
        np.testing.assert_allclose(turned[inside], np.asarray(expected)[inside], atol=2.5)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000))
def test_rotation_turns_crops_and_mirror_images_without_a_change_of_shape(seed: int) -> None:
    still, turned = (
        draw_table(
            tiny_augment(flip=0.5, crop_scale=[0.1, 1.0], rotation=rotation),
            seed=seed,
            epoch=1,
            size=50,
            stored_size=16,
            input_size=8,
        ).maps.numpy()
        for rotation in (0.0, 180.0)
    )
    rotations = turned[:, :, :2] @ np.linalg.inv(still[:, :, :2])
    squares = rotations.swapaxes(1, 2) @ rotations
    assert squares == pytest.approx(np.tile(np.eye(2), (50, 1, 1)), abs=1e-5)
    assert np.linalg.det(rotations) == pytest.approx(np.ones(50), abs=1e-5)
    assert turned[:, :, 2] == pytest.approx(still[:, :, 2], abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(rotation=st.floats(1, 180), seed=st.integers(0, 1000))
def test_rotation_stays_within_its_limit_on_both_sides(rotation: float, seed: int) -> None:
    table = draw_table(
        tiny_augment(rotation=rotation), seed=seed, epoch=1, size=200, stored_size=8, input_size=8
    )
    degrees = torch.rad2deg(torch.atan2(table.maps[:, 1, 0], table.maps[:, 0, 0]))
    assert degrees.abs().max() <= rotation + 1e-3
    assert degrees.min() < -rotation / 2
    assert degrees.max() > rotation / 2


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    scale=st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)).map(sorted),
    ratio=st.tuples(st.floats(0.1, 5), st.floats(0.1, 5)).map(sorted),
)
def test_random_resized_crops_lie_inside_and_keep_to_their_ranges(
    seed: int, scale: list[float], ratio: list[float]
) -> None:
    params = tiny_augment(crop_scale=scale, crop_ratio=ratio)
    table = draw_table(params, seed=seed, epoch=1, size=100, stored_size=16, input_size=8)
    width, height = table.maps[:, 0, 0].numpy(), table.maps[:, 1, 1].numpy()
    center_x, center_y = table.maps[:, 0, 2].numpy(), table.maps[:, 1, 2].numpy()
    assert (np.abs(center_x) + width <= 1 + 1e-6).all()
    assert (np.abs(center_y) + height <= 1 + 1e-6).all()
    whole = (width < 1) & (height < 1)
    area, aspect = (width * height)[whole], (width / height)[whole]
    assert ((area > scale[0] - 1e-5) & (area < scale[1] + 1e-5)).all()
    assert ((aspect > ratio[0] - 1e-4) & (aspect < ratio[1] + 1e-4)).all()


def test_random_resized_crops_use_the_whole_of_their_ranges() -> None:
    params = tiny_augment(crop_scale=[0.1, 0.3], crop_ratio=[0.5, 2.0])
    maps = draw_table(params, seed=0, epoch=1, size=2000, stored_size=16, input_size=8).maps.numpy()
    width, height = maps[:, 0, 0], maps[:, 1, 1]
    # As torchvision draws them: the area uniformly, and the aspect ratio's logarithm.
    for drawn, low, high in (
        (width * height, 0.1, 0.3),
        (np.log(width / height), -math.log(2), math.log(2)),
        (maps[:, 0, 2] / (1 - width), -1, 1),
        (maps[:, 1, 2] / (1 - height), -1, 1),
    ):
        assert kstest(drawn, "uniform", (low, high - low)).pvalue > 1e-3


def test_resized_crop_of_everything_is_the_whole_image() -> None:
    images = noise(3, 8)
    params = tiny_augment(crop_scale=[1.0, 1.0], crop_ratio=[1.0, 1.0])
    np.testing.assert_allclose(augmented(images, params, input_size=8), images, atol=0.01)


def with_factors(images: np.ndarray, *factors: float) -> np.ndarray:
    """`images` with these factors of brightness, contrast and saturation."""
    params = tiny_augment(brightness=1.0, contrast=1.0, saturation=1.0)
    count, size = images.shape[:2]
    colours = torch.tensor([factors] * count, dtype=torch.float32)
    table = Table(torch.zeros(count, 2, 3), colours, torch.zeros(count, 2, dtype=torch.int64))
    return augment(torch.from_numpy(images), table, params, size).numpy()


def test_colour_factors_of_1_change_nothing() -> None:
    images = noise(2, 8)
    np.testing.assert_allclose(with_factors(images, 1, 1, 1), images, atol=1e-3)


def test_brightness_scales_and_stops_at_255() -> None:
    images = noise(2, 8)
    expected = np.minimum(images * 1.5, 255)
    np.testing.assert_allclose(with_factors(images, 1.5, 1, 1), expected, atol=0.01)


def test_contrast_of_0_leaves_the_mean_grey() -> None:
    image = noise(1, 8)
    grey = np.asarray(Image.fromarray(image[0]).convert("L")).mean()
    np.testing.assert_allclose(with_factors(image, 1, 0, 1), grey, atol=0.6)


def test_saturation_of_0_leaves_the_grey_of_each_pixel() -> None:
    image = noise(1, 8)
    grey = np.asarray(Image.fromarray(image[0]).convert("L"))[None, ..., None]
    result = with_factors(image, 1, 1, 0)
    np.testing.assert_allclose(result, np.broadcast_to(grey, result.shape), atol=0.6)


@settings(max_examples=25, deadline=None)
@given(factors=st.tuples(st.floats(0, 2), st.floats(0, 2), st.floats(0, 2)))
def test_colours_stay_within_0_and_255(factors: tuple[float, float, float]) -> None:
    result = with_factors(noise(2, 4), *factors)
    assert result.min() >= 0
    assert result.max() <= 255


def test_colour_factors_keep_to_their_ranges() -> None:
    params = tiny_augment(brightness=0.1, contrast=0.4, saturation=0.8)
    table = draw_table(params, seed=0, epoch=1, size=500, stored_size=8, input_size=8)
    reach = (table.colours - 1).abs().amax(dim=0).tolist()
    assert reach == pytest.approx([0.1, 0.4, 0.8], rel=0.02)
    assert (table.colours - 1).mean(dim=0).abs().max() < 0.05


def make_view(*, seed: int = 0, number: int = 1) -> View:
    params = tiny_augment(**EVERYTHING)
    return random_view(params, stored_size=8, input_size=6, seed=seed, number=number, size=10)


def test_random_view_repeats_itself_for_any_batch() -> None:
    images, chosen = noise(10, 8), np.array([7, 0, 3])
    shown = make_view()(images, np.arange(10))
    np.testing.assert_array_equal(make_view()(images[chosen], chosen), shown[chosen])


def test_random_view_is_what_training_shows() -> None:
    images = noise(10, 8)
    shown = make_view(number=4)(images, np.arange(10))
    expected = augmented(images, tiny_augment(**EVERYTHING), input_size=6, epoch=4)
    np.testing.assert_array_equal(shown, expected)


def test_random_views_of_other_numbers_and_seeds_differ() -> None:
    images, rows = noise(10, 8), np.arange(10)
    shown = make_view()(images, rows)
    assert not np.array_equal(make_view(number=2)(images, rows), shown)
    assert not np.array_equal(make_view(seed=1)(images, rows), shown)


def test_random_views_text_tells_it_from_others_and_repeats_itself() -> None:
    assert repr(make_view()) == repr(make_view())
    assert len({repr(make_view()), repr(make_view(seed=1)), repr(make_view(number=2))}) == 3


@pytest.mark.parametrize(
    ("on", "said"),
    [
        ({"crop_padding": 1, "crop_scale": [0.5, 1.0]}, "set one of them to null"),
        ({"alternate_flips": True, "flip": 0.3}, "set flip: 0.5"),
        ({"crop_scale": [0.9, 0.5]}, "must ascend"),
        ({"crop_scale": [0.0, 0.5]}, "must ascend"),
        ({"crop_scale": [0.5, 1.1]}, "within 0..1"),
        ({"crop_ratio": [2.0, 1.0]}, "must ascend"),
        ({"crop_ratio": [0.0, 1.0]}, "be positive"),
    ],
)
def test_contradictions_are_refused(on: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        tiny_augment(**on)
