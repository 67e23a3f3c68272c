import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier.core.errors import UserError
from classifier.processing.images import center_crop
from classifier.processing.views import CORNERS, SETS, expand_views, named_view

# 4 x 4 pixels that count 0, 1, 2, … row after row, alike in all three channels.
COUNTING = np.repeat(np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1), 3, axis=3)


def show(name: str, images: np.ndarray, input_size: int) -> np.ndarray:
    return named_view(name, images.shape[1], input_size)(images, np.arange(len(images)))


def noise(count: int, size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def first_channel(images: np.ndarray) -> list[list[int]]:
    return images[0, :, :, 0].tolist()


def test_identity_is_the_centre_crop_that_serving_uses():
    for size, input_size in [(8, 8), (9, 6), (9, 8), (12, 5)]:
        images = noise(3, size)
        assert np.array_equal(show("identity", images, input_size), center_crop(images, input_size))


def test_flip_mirrors_left_to_right_and_twice_is_the_identity():
    assert first_channel(show("flip", COUNTING, 4))[0] == [3, 2, 1, 0]
    images = noise(2, 7)
    assert np.array_equal(show("flip", show("flip", images, 7), 7), images)


def test_five_crop_shows_the_centre_and_the_four_corners():
    seen = [first_channel(show(name, COUNTING, 2)) for name in expand_views(["five_crop"])]
    assert seen == [
        [[5, 6], [9, 10]],
        [[0, 1], [4, 5]],
        [[2, 3], [6, 7]],
        [[8, 9], [12, 13]],
        [[10, 11], [14, 15]],
    ]


def test_ten_crop_is_five_crop_and_its_mirror_images():
    images = noise(2, 9)
    seen = [show(name, images, 6) for name in expand_views(["ten_crop"])]
    assert len(seen) == 10
    for plain, mirrored in zip(seen[:5], seen[5:], strict=True):
        assert np.array_equal(mirrored, plain[:, :, ::-1])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("shift_up_1", [[9, 10], [13, 14]]),
        ("shift_down_1", [[1, 2], [5, 6]]),
        ("shift_left_1", [[6, 7], [10, 11]]),
        ("shift_right_1", [[4, 5], [8, 9]]),
        ("shift_right_1+flip", [[5, 4], [9, 8]]),
    ],
)
def test_a_shift_moves_the_content_and_uses_the_stored_margin(name: str, expected: list):
    assert first_channel(show(name, COUNTING, 2)) == expected


def test_a_shift_beyond_the_image_repeats_the_border():
    assert first_channel(show("shift_left_2", COUNTING, 4))[0] == [2, 3, 3, 3]
    assert first_channel(show("shift_down_3", COUNTING, 4)) == [[0, 1, 2, 3]] * 4


@settings(max_examples=40, deadline=None)
@given(
    direction=st.sampled_from(["up", "down", "left", "right"]),
    input_size=st.integers(2, 9),
    margin=st.integers(0, 5),
    data=st.data(),
)
def test_any_shift_equals_a_window_of_the_padded_image(direction, input_size, margin, data):
    pixels = data.draw(st.integers(0, input_size - 1))
    images = noise(2, input_size + margin)
    padded = np.pad(
        images, ((0, 0), (input_size, input_size), (input_size, input_size), (0, 0)), mode="edge"
    )
    top = left = input_size + margin // 2
    top += {"up": pixels, "down": -pixels}.get(direction, 0)
    left += {"left": pixels, "right": -pixels}.get(direction, 0)
    expected = padded[:, top : top + input_size, left : left + input_size]
    assert np.array_equal(show(f"shift_{direction}_{pixels}", images, input_size), expected)


def test_enlarging_shows_the_middle_alone():
    # The middle 4 x 4 pixels, and their neighbours, which bilinear interpolation asks as well.
    image = np.zeros((1, 8, 8, 3), np.uint8)
    image[:, 1:7, 1:7] = 200
    assert (show("scale_2", image, 8) == 200).all()
    assert not (show("scale_1.3", image, 8) == 200).all()


def test_shrinking_takes_in_the_whole_stored_image_without_aliasing():
    stripes = np.zeros((1, 16, 16, 3), np.uint8)
    stripes[:, :, ::2] = 200
    seen = show("scale_0.5", stripes, 8)
    assert seen.shape == (1, 8, 8, 3)
    # Dropping every second column, instead of averaging, would give 0 or 200.
    assert np.abs(seen[:, :, 1:-1].astype(int) - 100).max() <= 2


def test_a_scale_is_centred():
    symmetric = noise(1, 9)
    symmetric = np.maximum(symmetric, symmetric[:, ::-1, ::-1])
    seen = show("scale_1.3", symmetric, 8)
    assert np.abs(seen.astype(int) - seen[:, ::-1, ::-1]).max() <= 1


VIEWS = [
    "identity",
    "flip",
    *CORNERS,
    "bottom_left+flip",
    "shift_up_2",
    "shift_left_3+flip",
    "scale_0.9",
    "scale_1.25",
    "scale_1.25+flip",
]


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_gives_bytes_that_pytorch_can_take_and_leaves_its_input_alone(name: str):
    images = noise(3, 10)
    original = images.copy()
    images.setflags(write=False)
    seen = show(name, images, 8)
    assert (seen.dtype, seen.shape) == (np.uint8, (3, 8, 8, 3))
    assert seen.flags.c_contiguous
    assert np.array_equal(images, original)
    assert named_view(name, 10, 8).name == name


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_of_a_image_does_not_depend_on_its_batch(name: str):
    images = noise(4, 10)
    assert np.array_equal(show(name, images, 8)[2:3], show(name, images[2:3], 8))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from(VIEWS), unique=True))
def test_expanding_plain_names_keeps_them_and_their_order(names: list[str]):
    assert expand_views(names) == names


def test_sets_are_expanded_where_they_stand():
    assert expand_views(["scale_1.1", "five_crop"]) == ["scale_1.1", *SETS["five_crop"]]


@pytest.mark.parametrize(
    "names",
    [
        ["flip", "flip"],
        ["five_crop", "ten_crop"],
        ["top_left", "five_crop"],
        ["flip", "identity+flip"],
        ["identity", "shift_up_0"],
        ["scale_1", "identity"],
        ["scale_1.1", "scale_1.10"],
    ],
)
def test_a_view_that_stands_twice_is_refused_under_whatever_name(names: list[str]):
    with pytest.raises(UserError, match=r"appears twice|is the same view as"):
        expand_views(names)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "mirror",
        "shift_up",
        "shift_up_1.5",
        "shift_up_-1",
        "scale",
        "scale_0",
        "scale_-2",
        "scale_nan",
        "flip+flip",
        "five_crop+flip",
        "identity_2",
        "top_left_3",
        "+flip",
        "Flip",
    ],
)
def test_an_unknown_name_is_refused_with_what_is_known(name: str):
    with pytest.raises(UserError, match=r"is unknown; views are identity, flip, top_left"):
        expand_views(["identity", name])


@pytest.mark.parametrize("corner", CORNERS)
def test_corners_need_a_margin(corner: str):
    with pytest.raises(
        UserError, match=rf"{corner}.*split\.stored_size \(8\).*train\.input_size \(8\)"
    ):
        named_view(corner, 8, 8)


def test_a_shift_as_wide_as_the_input_is_refused():
    named_view("shift_up_7", 8, 8)
    with pytest.raises(UserError, match=r"shift_up_8.*train\.input_size \(8\)"):
        named_view("shift_up_8", 8, 8)


def test_a_scale_that_takes_in_more_than_there_is_or_less_than_a_pixel_is_refused():
    named_view("scale_0.8", 10, 8)
    named_view("scale_8", 10, 8)
    named_view("scale_0.7", 30, 21)
    for name in ("scale_0.79", "scale_8.1"):
        with pytest.raises(UserError, match=r"split\.stored_size.*factors from 8/10 to 8 fit"):
            named_view(name, 10, 8)


def test_views_load_without_pytorch():
    program = "import sys, classifier.processing.views; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
