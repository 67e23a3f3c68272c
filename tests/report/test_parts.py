import io

import numpy as np
from PIL import Image

from classifier.report.parts import Section, Table, embed_png


def png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def test_columns_of_numbers_are_distinguished_from_text():
    rows = [["a", "0.50 (0.1 to 0.9)", "x"], ["1", "", "2"]]
    assert Table("t", ["name", "share", "kind"], rows).numeric == [False, True, False]


def test_only_large_images_are_stored_as_webp():
    small = embed_png(png(np.zeros((10, 20, 3), np.uint8)), "black")
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    large = embed_png(png(noise), "noise")
    assert (small.width, small.height) == (20, 10)
    assert small.source.startswith("data:image/png;base64,")
    assert large.source.startswith("data:image/webp;base64,")
    assert len(large.source) < len(png(noise))


def test_anchor_of_a_section_is_one_word():
    assert Section("Test-time augmentation", []).anchor == "test-time-augmentation"
