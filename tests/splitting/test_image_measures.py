import tracemalloc

import numpy as np
from builders.class_sizes import dataset_of

from classifier.splitting.duplicates.near_duplicates import SIDE
from classifier.splitting.image_measures import (
    brightness_and_contrast,
    histograms_table,
    measure_images,
    modes_table,
)


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


def test_width_and_height_have_the_same_bins_and_equal_values_a_bin_of_their_own() -> None:
    measures = {
        "width": np.array([0.0, 0.5, 3.5, 40.0]),
        "height": np.array([3.25, 3.5, 3.75, 7.5]),
        "contrast": np.full(4, 12.0),
    }
    table = histograms_table(measures)
    taken = table[table["images"] > 0].astype({"low": float, "high": float})
    assert taken.to_numpy().tolist() == [
        *(["width", 0, 1, 2], ["width", 3, 4, 1], ["width", 39, 40, 1]),
        *(["height", 3, 4, 3], ["height", 7, 8, 1]),
        ["contrast", 11.5, 12.5, 4],
    ]
    assert table["measure"].value_counts().to_dict() == {"width": 40, "height": 40, "contrast": 1}


def test_aspect_ratio_is_that_of_width_to_height() -> None:
    dataset = dataset_of({"cat": (2, 1, 0)})
    dataset.manifest["width"], dataset.manifest["height"] = [30, 20, 8], [20, 20, 32]
    measures = measure_images(dataset, np.zeros((3, SIDE, SIDE), np.uint8))
    assert measures["aspect_ratio"].tolist() == [1.5, 1, 0.25]


def test_colour_modes_come_with_the_most_frequent_first() -> None:
    table = modes_table(np.array(["L", "RGB", "P", "RGB", "P", "RGB"]))
    assert table.to_numpy().tolist() == [["RGB", 3], ["P", 2], ["L", 1]]
