"""The page's way from a file to pixels, against Pillow's, in a real browser."""

from typing import Any

import numpy as np
import pytest
from builders.images import encode, noise
from builders.web.browser import needs_chromium
from builders.web.static_site import pixels_in_page
from PIL import Image
from playwright.sync_api import Page

from classifier.export.original_files import original_files
from classifier.inference.golden_originals import TOLERANCE
from classifier.processing.images import Preprocessing, Resize, read_image

pytestmark = needs_chromium
RESIZES: tuple[Resize, ...] = ("crop", "pad", "stretch")


def config(side: int, resize: Resize = "crop", max_pixels: int = 10_000_000) -> dict[str, Any]:
    return {"stored_size": side, "resize": resize, "max_pixels": max_pixels}


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("size", [(16, 16), (61, 40), (40, 66), (300, 7), (1, 1), (5, 700)])
def test_pixels_are_those_of_pillow_to_the_bit(
    page: Page, size: tuple[int, int], resize: Resize
) -> None:
    content = encode(noise(*size))
    expected = read_image(content, Preprocessing(16, resize)).pixels
    np.testing.assert_array_equal(pixels_in_page(page, content, config(16, resize)), expected)


@pytest.mark.parametrize(
    "content",
    [
        encode(noise(50, 40), "JPEG", quality=90),
        encode(noise(50, 40), "WEBP", lossless=True),
        encode(noise(50, 40), "GIF"),
        encode(noise(50, 40), "BMP"),
        encode(Image.fromarray(noise(50, 40)).convert("L")),
        encode(Image.fromarray(noise(50, 40)).convert("P")),
    ],
    ids=["JPEG", "WebP", "GIF", "BMP", "grey", "palette"],
)
def test_formats_of_browsers_are_read_as_pillow_reads_them(page: Page, content: bytes) -> None:
    expected = read_image(content, Preprocessing(32, "crop")).pixels
    np.testing.assert_array_equal(pixels_in_page(page, content, config(32)), expected)


@pytest.mark.parametrize("side", [8, 100])
def test_golden_files_are_decoded_within_their_tolerance(page: Page, side: int) -> None:
    for file, content in original_files(noise(side, side)[np.newaxis]).items():
        expected = read_image(content, Preprocessing(side, "crop")).pixels
        difference = np.abs(pixels_in_page(page, content, config(side)) - expected.astype(int))
        assert difference.mean() <= TOLERANCE.mean, file
        assert difference.max() <= TOLERANCE.largest, file


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_upright(page: Page, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    smooth = Image.fromarray(noise(4, 3)).resize((80, 60))
    content = encode(smooth, "JPEG", quality=95, exif=exif)
    expected = read_image(content, Preprocessing(32, "pad")).pixels
    difference = pixels_in_page(page, content, config(32, "pad")) - expected.astype(int)
    assert np.abs(difference).max() <= 1
