import tracemalloc

import numpy as np

from classifier.splitting.duplicates.near_duplicates import SIDE
from classifier.splitting.image_measures import brightness_and_contrast


def test_brightness_and_contrast_of_many_images_take_little_memory() -> None:
    thumbnails = np.zeros((20_000, SIDE, SIDE), np.uint8)
    thumbnails[1::2, ::2] = 100
    tracemalloc.start()
    brightness, contrast = brightness_and_contrast(thumbnails)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert brightness.tolist() == [0, 50] * 10_000
    assert contrast.tolist() == [0, 50] * 10_000
    assert peak < 3 * thumbnails.nbytes
