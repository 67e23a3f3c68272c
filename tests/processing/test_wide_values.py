import struct
from pathlib import Path

import numpy as np
import pytest
from builders.images import encode, packed_png
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from classifier.core.errors import UserError
from classifier.processing.images import DecodedImage, Preprocessing, read_image

FILES = Path(__file__).parent / "files"
WIDE = np.array([[0, 255, 256, 511], [4095, 32768, 65279, 65535]])


def decoded(content: bytes, white_level: float = 65535) -> DecodedImage:
    return read_image(content, Preprocessing(8, "stretch", white_level))


def enlarged(values: np.ndarray) -> np.ndarray:
    """An 8x8 image of 2x4 values."""
    return values.repeat(4, axis=0).repeat(2, axis=1)  # keeps the order of bytes


def corners(image: DecodedImage) -> list[list[int]]:
    return image.pixels[::4, ::2, 0].tolist()


def png_of_16_bit_rgb(values: np.ndarray, *transparent: int) -> bytes:
    """A PNG file of uint16 `(H, W, 3)`, perhaps with a transparent colour."""
    height, width, _ = values.shape
    rows = [row.astype(">u2").tobytes() for row in values]
    return packed_png(
        (width, height, 16, 2), rows, struct.pack(f">{len(transparent)}H", *transparent)
    )


def packed_tiff(values: np.ndarray) -> bytes:
    """A TIFF file that stores two values `(8, 8)` of 12 bits in three bytes."""
    bits = "".join(f"{value:012b}" for value in values.ravel())
    strip = int(bits, 2).to_bytes(len(bits) // 8, "big")
    tags = {
        256: 8, 257: 8, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: 8, 279: len(strip),
    }  # fmt: skip
    entries = b"".join(struct.pack("<2H2L", tag, 4, 1, value) for tag, value in tags.items())
    directory = struct.pack("<H", len(tags)) + entries + b"\0\0\0\0"
    return b"II*\0" + struct.pack("<L", 8 + len(strip)) + strip + directory


@pytest.mark.parametrize(
    ("grey", "kind", "options"),
    [
        (WIDE.astype("<u2"), "PNG", {}),
        (WIDE.astype("<u2"), "TIFF", {}),
        (WIDE.astype(">u2"), "TIFF", {}),
        (WIDE.astype("<u2"), "TIFF", {"compression": "tiff_lzw"}),
        (WIDE.astype("<u2"), "PPM", {}),
        (WIDE.astype(np.int32), "TIFF", {}),
    ],
)
def test_sixteen_bit_grey_is_scaled_to_its_full_range(
    grey: np.ndarray, kind: str, options: dict[str, str]
) -> None:
    image = decoded(encode(enlarged(grey), kind, **options))
    assert corners(image) == [[0, 1, 1, 2], [16, 128, 254, 255]]
    assert image.largest == 65535


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 65535), min_size=8, max_size=8),
    st.sampled_from([255, 1023, 4095, 65535, 1000.5]),
)
def test_white_level_becomes_255(values: list[int], level: float) -> None:
    grey = np.array(values, np.uint16).reshape(2, 4)
    image = decoded(encode(enlarged(grey)), level)
    exact = np.clip(grey.astype(float) * 255 / level, 0, 255)
    assert np.abs(np.array(corners(image)) - exact).max() <= 0.5 + 1e-4
    assert image.largest == max(values)


def test_twelve_bit_scan_is_dark_unless_the_white_level_says_so() -> None:
    content = (FILES / "twelve_bit.png").read_bytes()
    dark, bright = decoded(content), decoded(content, 4095)
    assert dark.pixels.max() <= 16
    assert bright.pixels.mean() > 100
    assert 2048 < dark.largest == bright.largest < 4096


def test_grey_map_that_states_its_white_needs_no_level() -> None:
    rows = enlarged(np.array([[0, 1023, 2048, 4095]] * 2, ">u2"))
    image = decoded(b"P5 8 8 4095\n" + rows.tobytes(), 255)
    assert corners(image)[0] == [0, 64, 128, 255]
    assert image.largest == 0


def test_packed_values_of_12_bits_need_no_level() -> None:
    image = decoded(packed_tiff(enlarged(np.array([[0, 1023, 2048, 4095]] * 2))))
    assert corners(image)[0] == [0, 64, 128, 255]
    assert image.largest == 0


def test_file_whose_zero_is_white_is_inverted() -> None:
    content = encode(enlarged(WIDE.astype("<u2")), "TIFF", tiffinfo={262: 0})
    assert corners(decoded(content)) == [[255, 254, 254, 253], [239, 127, 1, 0]]


def test_32_bit_file_of_8_bit_values_keeps_them() -> None:
    values = np.array([[0, 1, 100, 255], [7, 8, 9, 10]], np.int32)
    image = decoded(encode(enlarged(values), "TIFF"))
    assert corners(image) == values.tolist()
    assert image.largest == 0


def test_values_beyond_the_white_level_are_white_and_negative_ones_black() -> None:
    values = np.array([[-5, 0, 9_999_999, 65536], [0, 0, 0, 0]], np.int32)
    image = decoded(encode(enlarged(values), "TIFF"))
    assert corners(image)[0] == [0, 0, 255, 255]
    assert image.largest == 9_999_999


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0.0, 0.5, 1.0, np.nan], [0, 128, 255, 0]), ([-3.0, 0.5, 100.4, 255.0], [0, 0, 100, 255])],
)
def test_floats_range_to_one_or_to_255(values: list[float], expected: list[int]) -> None:
    grey = np.array([values, values], np.float32)
    assert corners(decoded(encode(enlarged(grey), "TIFF")))[0] == expected


@pytest.mark.parametrize(
    ("values", "warnings"),
    [
        (np.full(4, np.nan, np.float32), ["some of its values are NaN"]),
        (np.array([0, np.nan, 1, 1], np.float32), ["some of its values are NaN"]),
        (np.full(4, -7.5, np.float32), ["its values go down to -7.5; all below 0 count as 0"]),
        (np.array([-np.inf, 0, 1, 1], np.float32), ["its values go down to -"]),
        (np.array([np.nan, -2, 0, 1], np.float32), ["some of its values", "its values go down"]),
        (
            np.array([-1000, 0, 1, 300], np.int32),
            ["its values go down to -1000; all below 0"],
        ),
        (np.array([0, 0.5, 1, 1], np.float32), []),
        (np.array([0, 5, 1, 300], np.int32), []),
    ],
)
def test_values_that_count_as_0_are_warned_about(values: np.ndarray, warnings: list[str]) -> None:
    image = decoded(encode(enlarged(np.array([values, values])), "TIFF"))
    assert len(image.warnings) == len(warnings)
    for said, start in zip(image.warnings, warnings, strict=True):
        assert said.startswith(start)


def test_floats_beyond_255_are_white_with_a_warning() -> None:
    grey = np.array([[0.0, 100.0, 255.0, 4000.0]] * 2, np.float32)
    image = decoded(encode(enlarged(grey), "TIFF"))
    assert corners(image)[0] == [0, 100, 255, 255]
    assert "reach 4000" in image.warnings[0]


def test_sixteen_bits_a_colour_keep_the_upper_eight() -> None:
    values = np.repeat(enlarged(WIDE)[..., None], 3, axis=2)
    image = decoded(png_of_16_bit_rgb(values))
    assert corners(image) == [[0, 0, 1, 1], [15, 128, 254, 255]]
    assert image.largest == 65535


def test_twelve_bits_a_colour_show_in_the_largest_value_and_are_refused_by_a_level() -> None:
    content = png_of_16_bit_rgb(np.full((8, 8, 3), 4000))
    assert decoded(content).largest == 4095
    with pytest.raises(UserError, match=r"16 bits a colour.+save it with 8 bits"):
        decoded(content, 4095)


def test_eight_bit_images_do_not_change_with_the_white_level() -> None:
    for image in (Image.new("L", (8, 8), 77), Image.new("RGB", (8, 8), (77, 77, 77))):
        for kind in ("PNG", "TIFF", "BMP"):
            found = decoded(encode(image, kind), 4095)
            assert (found.pixels == 77).all()
            assert found.largest == 0


def test_transparent_value_of_wide_grey_becomes_white_and_is_not_the_largest() -> None:
    content = encode(enlarged(WIDE.astype(np.uint16)), transparency=65535)
    image = decoded(content)
    assert corners(image) == [[0, 1, 1, 2], [16, 128, 254, 255]]
    assert image.largest == 65279
    content = encode(enlarged(WIDE.astype(np.uint16)), transparency=0)
    assert corners(decoded(content)) == [[255, 1, 1, 2], [16, 128, 254, 255]]


def test_transparent_colour_of_16_bits_becomes_white() -> None:
    values = np.full((8, 8, 3), (1000, 2000, 3000), np.uint16)
    values[:, :4] = (30000, 0, 0)
    image = decoded(png_of_16_bit_rgb(values, 1000, 2000, 3000))
    assert image.pixels[0, [0, -1]].tolist() == [[117, 0, 0], [255, 255, 255]]
