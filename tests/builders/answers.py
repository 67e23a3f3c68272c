"""Answers for test images whose probabilities are given."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from classifier.data.dataset import Dataset
from classifier.evaluation.answers import Answers
from classifier.processing.images import Preprocessing


def answers_with(probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> Answers:
    """Answers for images of these classes, all of them test images without content."""
    manifest = pd.DataFrame(
        {"path": [f"{row}.png" for row in range(len(labels))], "label": labels, "split": "test"}
    )
    images = np.zeros((len(labels), 1, 1, 3), np.uint8)
    dataset = Dataset(images, manifest, list(classes), Preprocessing(1, "crop"))
    return Answers(dataset, np.arange(len(labels)), probabilities)


def random_probabilities(seed: int, images: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw the class probabilities `(images, classes)` and the labels of random images."""
    generator = np.random.default_rng(seed)
    given = generator.dirichlet(np.ones(classes), images)
    return given, generator.integers(0, classes, images)
