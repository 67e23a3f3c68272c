from pathlib import Path

import numpy as np
import pytest
from builders.tiny import write_split
from sklearn.utils.class_weight import compute_class_weight

from classifier.data.image_statistics import balanced_weights, channel_statistics


def test_statistics_are_the_mean_and_deviation_of_each_channel() -> None:
    images = np.random.default_rng(0).integers(0, 256, (300, 4, 4, 3), dtype=np.uint8)
    images[..., 1] //= 2
    mean, std = channel_statistics(images, np.arange(300))
    assert mean == pytest.approx(images.mean(axis=(0, 1, 2)), abs=1e-4)
    assert std == pytest.approx(images.std(axis=(0, 1, 2)), abs=1e-4)


def test_statistics_are_of_the_given_rows_alone_in_any_order() -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, 4, 4, 3), dtype=np.uint8)
    rows = np.array([7, 2, 19])
    expected = channel_statistics(images[rows], np.arange(3))
    assert channel_statistics(images, rows) == expected
    assert channel_statistics(images, rows[::-1]) == expected


def test_channel_of_one_value_can_be_divided_by() -> None:
    images = np.full((2, 4, 4, 3), 7, np.uint8)
    assert channel_statistics(images, np.arange(2)) == ((7, 7, 7), (1, 1, 1))


def test_balanced_weights_are_those_of_scikit_learn_for_the_training_images(
    tmp_path: Path,
) -> None:
    dataset = write_split(tmp_path)
    # Of the first class only one training image is left, of the second seven.
    rows = dataset.rows("train")
    moved = [*rows[dataset.labels[rows] == 0][1:], *rows[dataset.labels[rows] == 1][7:]]
    dataset.manifest.loc[moved, "split"] = "test"
    labels = dataset.labels[dataset.rows("train")]
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    weights = balanced_weights(dataset)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
