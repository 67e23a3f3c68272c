"""The data set that the split stage writes: images, manifest, classes."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from classifier.core.errors import UserError
from classifier.data.stored_images import Images, StoredImages, open_images
from classifier.processing.images import Preprocessing
from classifier.processing.spec import BundleSpec

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
_NUMBERS = ("label", "width", "height", "bytes", "group")  # columns of the manifest


@dataclass(frozen=True)
class Dataset:
    """Decoded images and their manifest, whose row i describes image i.

    Attributes:
        images: uint8 `(N, S, S, 3)`, memory-mapped shards, so that only the rows in use are in
            memory; or an array.
        manifest: Columns `path, class, label, split, width, height, mode, bytes, sha256, group`;
            near-duplicates, and images with the same value in a column of `split.group_by`, have
            the same group, other images have group 0. Then the data's own columns, such as a
            patient, all of them text.
        classes: Names of the classes; a label is an index into them.
        preprocessing: How image files were decoded and scaled.
    """

    images: Images
    manifest: pd.DataFrame
    classes: list[str]
    preprocessing: Preprocessing

    @cached_property
    def labels(self) -> np.ndarray:
        """Class index of each image: int64 `(N,)`."""
        return self.manifest["label"].to_numpy(np.int64)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of path, content, label and split of all images, in hexadecimal."""
        digest = hashlib.sha256("\n".join(self.classes).encode())
        for column in ("path", "sha256", "label", "split"):
            digest.update("\n".join(["", column, *self.manifest[column].astype(str)]).encode())
        return digest.hexdigest()

    def rows(self, split: Split) -> np.ndarray:
        """Return the indices of the images in `split`, ascending: int64 `(n,)`."""
        return np.flatnonzero(self.manifest["split"].to_numpy() == split)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return the images of these rows, in any order: uint8 `(n, S, S, 3)`.

        Raises:
            UserError: See `StoredImages.read`.
        """
        images = self.images
        return images.read(rows) if isinstance(images, StoredImages) else images[rows]

    def leaked(self, split: Split) -> np.ndarray:
        """Return which images of `split` have a near-duplicate or their group in train: bool."""
        groups = self.manifest["group"].to_numpy(np.int64)
        shown = np.unique(groups[self.rows("train")])
        return np.isin(groups[self.rows(split)], shown[shown > 0])

    def class_counts(self, split: Split) -> np.ndarray:
        """Return the number of images of each class in `split`: int64 `(classes,)`."""
        return np.bincount(self.labels[self.rows(split)], minlength=len(self.classes))

    def missing_classes(self, split: Split) -> list[str]:
        """Return the names of the classes without images in `split`."""
        counts = self.class_counts(split)
        return [name for name, count in zip(self.classes, counts, strict=True) if count == 0]


def load_dataset(folder: Path) -> Dataset:
    """Open what the split stage wrote to `folder`.

    Raises:
        UserError: A file is missing or damaged, or images and manifest do not belong together.
    """
    try:
        # Class names, paths and the data's own columns, such as `NA` or `007`, are text, not
        # missing values or numbers.
        types = defaultdict(lambda: str, dict.fromkeys(_NUMBERS, "int64"))
        manifest = pd.read_csv(folder / "manifest.csv", dtype=types, keep_default_na=False)
        classes = json.loads((folder / "classes.json").read_text("utf-8"))
        described = json.loads((folder / "preprocessing.json").read_text("utf-8"))
    except FileNotFoundError as error:
        raise UserError(
            f"{error.filename} is missing: run the split stage, or fetch the data with `dvc pull`."
        ) from None
    except (ValueError, EOFError) as error:  # not a table or JSON
        reason = " ".join(str(error).split())
        raise UserError(
            f"{folder} is damaged ({reason}): run the split stage again, or `dvc checkout`."
        ) from None
    if not isinstance(classes, list) or manifest["label"].max() >= len(classes):
        raise UserError(
            f"{folder} is damaged (classes.json lacks classes of manifest.csv): run the split "
            "stage again, or `dvc checkout`."
        )
    shards = described.pop("shards", None)
    if shards is None:
        raise UserError(f"{folder} is of an earlier release: run the split stage again.")
    preprocessing = Preprocessing(**described)
    images = open_images(folder, manifest["path"].tolist(), shards, preprocessing.stored_size)
    return Dataset(images, manifest, classes, preprocessing)


def check_trained_on(spec: BundleSpec, dataset: Dataset, models: Path, split: Path) -> None:
    """Raise UserError where a model does not belong to a data set.

    Args:
        spec: description of the model.
        dataset: which it should have been trained on.
        models: folder of the model, for the message.
        split: folder of the data set, for the message.
    """
    if spec.classes != dataset.classes:
        different = ", ".join(sorted({*spec.classes} ^ {*dataset.classes})) or "their order"
        raise UserError(
            f"The model in {models} knows other classes than {split} holds (the difference: "
            f"{different}): run the train stage again."
        )
    if spec.preprocessing != dataset.preprocessing:
        before, now = asdict(spec.preprocessing), asdict(dataset.preprocessing)
        names = [name for name in now if before[name] != now[name]]
        raise UserError(
            f"The model in {models} was trained on images with {_listed(before, names)}, but "
            f"{split} holds images with {_listed(now, names)}: run the train stage again."
        )
    if spec.dataset not in (None, dataset.digest):
        raise UserError(
            f"The model in {models} was trained on other images, or on another split of them, than "
            f"{split} holds: run `dvc repro` (or the train stage) first."
        )


def _listed(values: Mapping[str, object], names: Sequence[str]) -> str:
    return " and ".join(f"{name} {values[name]}" for name in names)
