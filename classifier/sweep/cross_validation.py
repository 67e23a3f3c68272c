"""Cross-validation: train a model for each fold, and pool its answers for the images of that fold.

Every image is tested once, by a model that has not seen it. The folds are those of the params
`split.folds` and `split.fold`, with which the pipeline makes the same splits. Here one process
trains a model for each fold on the images of data/split, which are not decoded again, and with a
frozen backbone the features are computed once.
"""

import io
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from classifier.core.config import load_section
from classifier.core.errors import UserError
from classifier.core.files import write_csv, write_json
from classifier.core.text import counted
from classifier.data.dataset import Dataset, Split, load_dataset
from classifier.evaluation.answer_report import (
    DECIMALS,
    per_class_table,
    predictions_table,
    write_table,
)
from classifier.evaluation.answers import Answers
from classifier.evaluation.params import EvaluateParams
from classifier.metrics.bootstrap import bootstrap
from classifier.metrics.intervals import Interval
from classifier.models.devices import choose_device, prepare_pytorch
from classifier.models.prediction import load_trained, predict_split
from classifier.processing.softmax import probabilities
from classifier.splitting.assignment import assign
from classifier.splitting.groups import column_groups, join_groups
from classifier.splitting.params import SplitParams
from classifier.splitting.raw_images import RawImage, read_labels
from classifier.training.curriculum import LOSSES
from classifier.training.distributed import ProcessGroup
from classifier.training.params import RuntimeParams, TrainParams
from classifier.training.run import train
from classifier.training.setup import BACKBONE

RAW, DATA, MODELS = Path("data/raw"), Path("data/split"), Path("models")
# Files of a data set that do not depend on the splits.
_SHARED = ("images-*.npy", "classes.json", "preprocessing.json")


class CrossValidation(NamedTuple):
    """The pooled answers for all images.

    Attributes:
        answers: Of the model that has not seen the image, for every image.
        folds: Fold of each image, int64 `(N,)`.
        accuracy: Share of right answers.
        macro_f1: Mean F1 of the classes.
        intervals: 95% confidence intervals of the two, by name.
    """

    answers: Answers
    folds: np.ndarray
    accuracy: float
    macro_f1: float
    intervals: dict[str, Interval]

    def losses(self) -> np.ndarray:
        """Return the cross-entropy of the answer for each image: float64 `(N,)`, at most 27.6."""
        of_label = self.answers.probabilities[np.arange(len(self.folds)), self.answers.labels]
        return -np.log(np.maximum(of_label, 1e-12))

    def line(self) -> str:
        """Describe the result in one line."""
        return (
            f"accuracy {self.accuracy:.4f} on all {len(self.folds):,} images (95% "
            f"{self.intervals['accuracy']}), macro F1 {self.macro_f1:.4f} (95% "
            f"{self.intervals['macro_f1']}), each answered by the one of {self.folds.max() + 1} "
            "models that has not seen it"
        )


def cross_validate(folds: int) -> CrossValidation:
    """Train and test a model for each fold, with the params of the current folder.

    Args:
        folds: Number of folds, 2 or more.

    Raises:
        UserError: data/split is missing or has images that data/raw lacks, the data gives its own
            test split, or a class is too small for so many folds.
    """
    params = load_section("split", SplitParams)
    dataset = load_dataset(DATA)
    plans = [split_of_fold(dataset, params, folds, fold) for fold in range(folds)]
    prepare_pytorch(load_section("runtime", RuntimeParams).deterministic)
    given = np.zeros((len(dataset.images), len(dataset.classes)))
    fold_of = np.zeros(len(dataset.images), np.int64)
    for fold, splits in enumerate(plans):
        rows = np.flatnonzero(np.array(splits) == "test")
        given[rows], fold_of[rows] = answer_fold(splits), fold
        right = given[rows].argmax(axis=1) == dataset.labels[rows]
        images = counted(len(rows), "image")
        print(f"fold {fold} of {folds}: accuracy {right.mean():.4f} on {images}")
    answers = Answers(dataset, np.arange(len(dataset.images)), given)
    scores = per_class_table(answers)
    return CrossValidation(
        answers,
        fold_of,
        float(answers.right.mean()),
        float(scores["f1"].mean()),
        bootstrap(answers.predicted, answers.labels, len(dataset.classes)),
    )


def split_of_fold(dataset: Dataset, params: SplitParams, folds: int, fold: int) -> list[Split]:
    """Return the splits that the split stage would make of these images for this fold."""
    manifest = dataset.manifest
    labelled, columns = read_labels(RAW)
    raw = {image.path: image for image in labelled}
    if gone := [path for path in manifest["path"] if path not in raw]:
        raise UserError(
            f"{RAW} lacks {len(gone)} of the images of {DATA}, such as {gone[0]}: run "
            "`dvc repro split` first."
        )
    images: list[RawImage] = [
        raw[path]._replace(class_name=name)
        for path, name in zip(manifest["path"], manifest["class"], strict=True)
    ]
    groups = manifest["group"].to_numpy(np.int64)
    if params.duplicates == "keep":
        places = [columns.index(name) for name in params.group_by]
        groups = join_groups([column_groups(images, place) for place in places], len(images))
    keys = [bytes.fromhex(digest) for digest in manifest["sha256"]]
    changed = params.model_copy(update={"folds": folds, "fold": fold})
    return assign(images, keys, changed, groups)


def answer_fold(splits: Sequence[Split]) -> np.ndarray:
    """Train with these splits of data/split; return probabilities `(n, classes)` of its test."""
    train_params = load_section("train", TrainParams)
    runtime = load_section("runtime", RuntimeParams)
    evaluate = load_section("evaluate", EvaluateParams)
    device = choose_device()
    with _copy_with(splits), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        train(train_params, runtime, device, ProcessGroup(), time.perf_counter())
        bundle, dataset = load_trained(MODELS, DATA, torch.device(device))
        (logits,) = predict_split(bundle, dataset, "test", batch_size=evaluate.batch_size)
    return probabilities(logits, bundle.spec.temperature)


@contextmanager
def _copy_with(splits: Sequence[Split]) -> Iterator[None]:
    """Work in a temporary folder with data/split and data/backbone as here, but these splits."""
    source, backbone, losses = DATA.resolve(), BACKBONE.resolve(), LOSSES.resolve()
    manifest = load_dataset(DATA).manifest.assign(split=list(splits))
    with tempfile.TemporaryDirectory() as temporary, chdir(temporary):
        DATA.mkdir(parents=True)
        for path in (path for pattern in _SHARED for path in source.glob(pattern)):
            _link(path, DATA / path.name)
        write_csv(DATA / "manifest.csv", manifest)
        BACKBONE.mkdir()
        for path in sorted(backbone.iterdir()):
            _link(path, BACKBONE / path.name)
        if losses.exists():
            _link(losses, LOSSES)
        yield


def _link(source: Path, target: Path) -> None:
    try:
        target.symlink_to(source)
    except OSError:  # a system without links
        shutil.copyfile(source, target)


def write_cross_validation(result: CrossValidation, folder: Path) -> None:
    """Write metrics.json, predictions.csv and per_class.csv."""
    values: dict[str, float] = {"accuracy": result.accuracy, "macro_f1": result.macro_f1}
    metrics: dict[str, float | int] = {
        "images": len(result.folds),
        "folds": int(result.folds.max()) + 1,
    }
    for name, value in values.items():
        interval = result.intervals[name]
        ends = {name: value, f"{name}_low": interval.low, f"{name}_high": interval.high}
        metrics |= {key: round(number, DECIMALS) for key, number in ends.items()}
    write_json(folder / "metrics.json", metrics)
    predictions = predictions_table(result.answers).assign(fold=result.folds)
    write_table(folder / "predictions.csv", predictions)
    scores = per_class_table(result.answers).drop(columns=["train", "val", "test"])
    images: pd.Series = pd.Series(np.bincount(result.answers.labels, minlength=len(scores)))
    write_table(folder / "per_class.csv", scores.assign(images=images))
