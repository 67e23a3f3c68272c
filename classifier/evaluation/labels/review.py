"""Find the images whose label a person should look at, with what helps to decide.

First images that have a duplicate with another label or in another split, then label errors, the
most probable first.
"""

from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from classifier.core.errors import UserError
from classifier.data.dataset import Dataset
from classifier.evaluation.labels.label_errors import rank_label_errors

# Similar images that are shown beside an image, and nearest training images.
NEIGHBOURS, NEAREST = 6, 3


class Case(NamedTuple):
    """An image to look at.

    Attributes:
        row: In the data set.
        reason: Why a person should look at it, in words.
        suggested: Label that the model suggests.
        confidence: Probability of the suggested label, by a model that did not see the image.
        nearest: Rows of the training images with the most similar features, duplicates left out.
        similar: Rows of its duplicates, and of other images with similar features.
    """

    row: int
    reason: str
    suggested: int
    confidence: float
    nearest: list[int]
    similar: list[int]


def read_duplicates(path: Path) -> pd.DataFrame:
    """Read results/split/duplicates.csv; raise UserError if it is missing."""
    try:
        text = {"contradiction": bool, "leak": bool}
        return pd.read_csv(path, dtype=defaultdict(lambda: str, text), keep_default_na=False)
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing: run the split stage, or fetch it with `dvc pull`."
        ) from None


def review_cases(
    dataset: Dataset, features: np.ndarray, given: np.ndarray, duplicates: pd.DataFrame
) -> list[Case]:
    """Return a case for each image that a person should look at, each image once.

    Args:
        dataset: The data set.
        features: Of every image, `(N, features)`.
        given: Held-out class probabilities, `(N, classes)`.
        duplicates: Content of results/split/duplicates.csv.
    """
    found = _duplicate_reasons(dataset, duplicates)
    for row in rank_label_errors(given, dataset.labels)[0].tolist():
        answer = int(given[row].argmax())
        text = (
            f"The label is {dataset.classes[dataset.labels[row]]}; the model says "
            f"{dataset.classes[answer]} with {given[row, answer]:.0%}."
        )
        reason, others = found.get(row, ("", []))
        found[row] = (f"{reason} {text}".strip(), others)
    length = np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    directions = features / length
    training = np.isin(np.arange(len(features)), dataset.rows("train"))
    cases = []
    for row, (reason, others) in found.items():
        order = _by_similarity(directions, row, others)
        nearest = order[training[order]][:NEAREST].tolist()
        similar = [
            other for other in order[: NEIGHBOURS + NEAREST].tolist() if other not in nearest
        ]
        shown = [*others, *similar][: max(NEIGHBOURS, len(others))]
        answer, confidence = int(given[row].argmax()), float(given[row].max())
        cases.append(Case(row, reason, answer, confidence, nearest, shown))
    return cases


def _duplicate_reasons(
    dataset: Dataset, duplicates: pd.DataFrame
) -> dict[int, tuple[str, list[int]]]:
    """Return the reason and the duplicates of each image with a contradiction or a leak."""
    rows = {path: row for row, path in enumerate(dataset.manifest["path"])}
    found: dict[int, tuple[str, list[int]]] = {}
    wrong = duplicates[duplicates["contradiction"] | duplicates["leak"]]
    for pair in wrong.to_dict("records"):
        for one, other in (("", "other_"), ("other_", "")):
            row, partner = rows.get(pair[f"{one}path"]), rows.get(pair[f"{other}path"])
            if row is None or partner is None:
                continue
            reason, others = found.get(row, ("", []))
            text = (
                f"A {'near-' if pair['kind'] == 'near' else ''}duplicate, {pair[f'{other}path']}, "
                f"has the label {pair[f'{other}class']} in {pair[f'{other}split']}."
            )
            found[row] = (f"{reason} {text}".strip(), [*others, partner])
    return found


def _by_similarity(directions: np.ndarray, row: int, duplicates: list[int]) -> np.ndarray:
    """Return the other rows but `duplicates`, by the cosine of the features, nearest first."""
    order = np.argsort(-(directions @ directions[row]), kind="stable")
    return order[~np.isin(order, [row, *duplicates])]
