"""Curriculum learning: the easiest images of each class first.

Hacohen & Weinshall, "On the power of curriculum learning in training deep networks", arXiv
1904.03626: images are ranked by the loss that another model gives them, and the share of the images
that takes part grows exponentially with the epochs (their fixed exponential pacing).
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field

from classifier.core.config import Params
from classifier.core.errors import UserError
from classifier.core.files import write_csv
from classifier.data.dataset import Dataset

LOSSES = Path("data/losses.csv")
# The columns of the manifest that say of what the loss is: another label or content has another.
_IMAGE = ["path", "class", "sha256"]


class CurriculumParams(Params):
    """Section `train.curriculum`."""

    start: float | None = Field(gt=0, lt=1)
    epochs: int = Field(ge=1)


class Curriculum(NamedTuple):
    """Which training images take part in an epoch.

    Attributes:
        ranks: Of each training image in its class by its loss, as a share from 0 (the easiest) to
            below 1, float64 `(n,)`.
        start: The share of the first epoch.
        epochs: Number of epochs until all images take part.
    """

    ranks: np.ndarray
    start: float
    epochs: int

    def places(self, epoch: int) -> np.ndarray:
        """Return the places of the images that take part in an epoch, from 1: int64, ascending."""
        share = self.start ** max(0.0, 1 - (epoch - 1) / self.epochs)
        return np.flatnonzero(self.ranks < share)


def read_curriculum(params: CurriculumParams, dataset: Dataset, losses: Path) -> Curriculum | None:
    """Return the curriculum of the training images; None where it is off.

    Images that `losses` does not name, or names with another class or content, come last in their
    class; a line says how many there are.

    Args:
        params: Section `train.curriculum`.
        dataset: The training images are its own.
        losses: CSV file with the columns `path`, `class`, `sha256` and `loss`.

    Raises:
        UserError: The file is missing, is no such table, or names no training image.
    """
    if params.start is None:
        return None
    rows = dataset.rows("train")
    loss_of = _read_losses(losses)
    images = dataset.manifest[_IMAGE].iloc[rows].astype(str)
    values = np.array([loss_of.get(image, np.inf) for image in _names(images)])
    unknown = int(np.isinf(values).sum())
    if unknown == len(rows):
        raise UserError(
            f"{losses} has the loss of no training image, which train.curriculum.start needs: run "
            "`classifier cross-validate --losses`, or set train.curriculum.start: null."
        )
    if unknown:
        print(
            f"curriculum: {unknown} of {len(rows)} training images come last, since {losses} lacks "
            "them, or knows them with another class or content"
        )
    return Curriculum(_ranks(values, dataset.labels[rows]), params.start, params.epochs)


def write_losses(path: Path, images: pd.DataFrame, losses: np.ndarray) -> None:
    """Write the table that `read_curriculum` reads, sorted by path, with six decimals.

    Args:
        path: Of the table.
        images: Rows of the manifest, `n`.
        losses: Cross-entropy of each, float `(n,)`.
    """
    write_csv(path, images[_IMAGE].assign(loss=losses.round(6)).sort_values("path"))


def digest_of(curriculum: Curriculum | None) -> str:
    """Return a digest of the order of the images, for the run's key; empty where it is off."""
    if curriculum is None:
        return ""
    return hashlib.sha256(curriculum.ranks.tobytes()).hexdigest()


def _read_losses(path: Path) -> dict[tuple[str, ...], float]:
    types = {"loss": np.float64} | dict.fromkeys(_IMAGE, str)
    try:
        table = pd.read_csv(path, dtype=types, keep_default_na=False)
        images = table[_IMAGE]
    except FileNotFoundError:
        raise UserError(f"{path} is missing: `git checkout {path}` brings it back.") from None
    except (KeyError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{path} must be a CSV file with the columns {', '.join(_IMAGE)} and loss ({reason}): "
            "write it with `classifier cross-validate --losses`."
        ) from None
    if (twice := images.duplicated()).any():
        raise UserError(
            f"{path} has two losses of {images['path'][twice].iloc[0]}: leave one of them."
        )
    return dict(zip(_names(images), table["loss"], strict=True))


def _names(images: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    return images.itertuples(index=False, name=None)


def _ranks(losses: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the rank of each image in its class as a share of the class; ties keep their order."""
    ranks = np.zeros(len(losses))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        order = members[np.argsort(losses[members], kind="stable")]
        ranks[order] = np.arange(len(members)) / len(members)
    return ranks
