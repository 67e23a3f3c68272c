"""Count the images of each class and split."""

import pandas as pd

from classifier.data.dataset import SPLITS, Dataset


def class_counts(dataset: Dataset) -> pd.DataFrame:
    """Return the images by class and split: columns `class, train, val, test, total`."""
    counts = pd.DataFrame({split: dataset.class_counts(split) for split in SPLITS})
    counts.insert(0, "class", dataset.classes)
    counts["total"] = counts[list(SPLITS)].sum(axis=1)
    return counts
