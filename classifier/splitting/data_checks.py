"""Whether the images of a data set are fit to learn from: sizes, contents, numbers."""

from typing import NamedTuple

import numpy as np

from classifier.data.dataset import Dataset
from classifier.splitting.split import CheckParams, Outcome


class Check(NamedTuple):
    """What one check found: so many images or classes beyond the limit, and which is the worst.

    limit: the parameter that sets it and its value; empty where there is none.
    """

    name: str
    limit: str
    cases: int
    worst: str


def measure_contents(prints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the grey values of fingerprints: float64 `(N,)` each."""
    flat = prints.reshape(len(prints), -1)
    return flat.mean(axis=1), flat.std(axis=1)


def check_images(dataset: Dataset, outcome: Outcome, params: CheckParams) -> list[Check]:
    """All checks, with `cases` 0 where nothing is wrong."""
    images = outcome.duplicates.images
    contradicting = [
        images[pair.first].path
        for pair in outcome.duplicates.pairs
        if images[pair.first].class_name != images[pair.second].class_name
    ]
    leaking = [dataset.rows(split)[dataset.leaked(split)] for split in ("val", "test")]
    leaked = dataset.manifest["path"].to_numpy()[np.concatenate(leaking)].tolist()
    return [
        _listed("cannot be read", [path for path, _ in outcome.problems]),
        *_check_files(dataset, outcome, params),
        _listed("alike, of two classes", contradicting),
        _listed("alike one of train", leaked),
        *_check_classes(dataset, params),
    ]


def _check_files(dataset: Dataset, outcome: Outcome, params: CheckParams) -> list[Check]:
    paths = dataset.manifest["path"].tolist()
    sides = dataset.manifest[["width", "height"]].to_numpy()
    short, long = sides.min(axis=1), sides.max(axis=1)
    ratio = long / short
    _, contrast = measure_contents(outcome.prints)
    side, contrast_limit = f"min_side {params.min_side}", f"min_contrast {params.min_contrast:g}"
    longest = f"max_aspect_ratio {params.max_aspect_ratio:g}"
    return [
        _above("too small", side, -short, -params.min_side, paths),
        _above("too large", f"max_side {params.max_side}", long, params.max_side, paths),
        _above("too long", longest, ratio, params.max_aspect_ratio, paths),
        _above("blank", contrast_limit, -contrast, -params.min_contrast, paths),
    ]


def _check_classes(dataset: Dataset, params: CheckParams) -> list[Check]:
    classes, tests = dataset.classes, dataset.class_counts("test")
    sizes = np.bincount(dataset.labels, minlength=len(classes))
    imbalance = sizes.max() / sizes
    fewest = f"min_test_images {params.min_test_images}"
    ratio, limit = f"{imbalance.max():.1f}", f"max_imbalance {params.max_imbalance:g}"
    return [
        _above("classes with few test images", fewest, -tests, -params.min_test_images, classes),
        _above(
            f"classes up to {ratio} times smaller than the largest",
            limit,
            imbalance,
            params.max_imbalance,
            classes,
        ),
    ]


def _above(name: str, limit: str, badness: np.ndarray, most: float, names: list[str]) -> Check:
    """Cases are where `badness`, `(n,)`, is above `most`."""
    cases = int((badness > most).sum())
    return Check(name, limit, cases, names[int(badness.argmax())] if cases else "")


def _listed(name: str, cases: list[str]) -> Check:
    return Check(name, "", len(cases), cases[0] if cases else "")
