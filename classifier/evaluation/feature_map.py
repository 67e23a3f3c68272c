"""What the features know: accuracy of the nearest neighbours, a map, and the nearest images.

The features are the input of the head, of the centre crop of each image. Their nearest neighbours
classify well where the backbone separates the classes, whatever head is on top of it (Caron et al.,
arXiv 2104.14294, report this accuracy beside that of a linear head).
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from classifier.evaluation.answers import Answers
from classifier.models.bundle import Bundle
from classifier.models.extractor import FeatureExtractor
from classifier.models.network_outputs import training_dtype
from classifier.processing.views import CENTRE, named_view

NEIGHBOURS = 10
# Nearest training images that the table names.
NAMED = 3
# More training images than this are represented by as many of them.
MOST_IMAGES = 20_000


class FeatureMap(NamedTuple):
    """The nearest neighbours of the test images.

    Attributes:
        accuracy: Share of the test images that their neighbours classify correctly.
        table: A row for each test image: path, class, predicted, x, y (its place on the map),
            right, neighbours_say, and nearest_1 to nearest_3, the paths of training images.
    """

    accuracy: float
    table: pd.DataFrame


def map_features(bundle: Bundle, answers: Answers) -> FeatureMap:
    """Compare the features of the test images with those of the training images.

    Args:
        bundle: the trained model.
        answers: its answers for the test split.
    """
    dataset, rows = answers.dataset, _compared(answers)
    centre = named_view(CENTRE, bundle.spec.stored_size, bundle.spec.input_size)
    known, asked = (
        FeatureExtractor(bundle.model, dtype).features(dataset.images, part, [centre])[0]
        for part, dtype in ((rows, training_dtype(bundle)), (answers.rows, torch.float32))
    )
    count = min(NEIGHBOURS, len(rows))
    search = NearestNeighbors(n_neighbors=count, metric="cosine", algorithm="brute").fit(known)
    distances, places = search.kneighbors(asked)
    said = _votes(dataset.labels[rows][places], distances, len(dataset.classes))
    names = np.array(dataset.classes, dtype=object)
    paths = dataset.manifest["path"].to_numpy()
    across, down = _plane(asked)
    table = pd.DataFrame(
        {
            "path": answers.paths,
            "class": names[answers.labels],
            "predicted": names[answers.predicted],
            "x": across,
            "y": down,
            "right": answers.right,
            "neighbours_say": names[said],
            **{f"nearest_{i + 1}": paths[rows[places[:, i]]] for i in range(min(NAMED, count))},
        }
    )
    return FeatureMap(float((said == answers.labels).mean()), table)


def _compared(answers: Answers) -> np.ndarray:
    """Return the rows of the training images that are compared: int64, ascending."""
    rows = answers.dataset.rows("train")
    return rows[:: -(-len(rows) // MOST_IMAGES)]


def _votes(labels: np.ndarray, distances: np.ndarray, classes: int) -> np.ndarray:
    """Return the class with most votes, each weighted by its similarity: int64 `(n,)`."""
    votes = np.zeros((len(labels), classes))
    np.add.at(votes, (np.arange(len(labels))[:, None], labels), 1 - distances)
    return votes.argmax(axis=1)


def _plane(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first two principal components of each image, rounded to four digits."""
    parts = min(2, *features.shape)
    placed = np.zeros((len(features), 2))
    if len(features) > 1:
        fitted = PCA(parts, svd_solver="full").fit_transform(features.astype(np.float64))
        placed[:, :parts] = fitted
    across, down = (np.array([float(f"{value:.4g}") for value in axis]) for axis in placed.T)
    return across, down
