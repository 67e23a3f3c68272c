import io

import numpy as np
from builders.images import noise
from PIL import Image

from classifier.export.original_files import original_files

STORED = np.stack([noise(8, 8, seed) for seed in range(2)])


def test_same_images_give_the_same_bytes() -> None:
    assert original_files(STORED) == original_files(STORED)


def test_files_are_what_they_are_said_to_be() -> None:
    opened = {file: Image.open(io.BytesIO(c)) for file, c in original_files(STORED).items()}
    assert {file: (image.format, image.mode) for file, image in opened.items()} == {
        "golden_alpha.png": ("PNG", "RGBA"),
        "golden_grey.png": ("PNG", "L"),
        "golden_large.jpg": ("JPEG", "RGB"),
        "golden_rotated.jpg": ("JPEG", "RGB"),
    }
    assert opened["golden_large.jpg"].size == (2400, 1600)
    assert opened["golden_rotated.jpg"].getexif()[274] == 6


def test_all_together_weigh_a_few_hundred_kilobytes() -> None:
    assert sum(map(len, original_files(STORED).values())) < 400_000
