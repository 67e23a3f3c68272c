"""Bootstrap intervals of the measures of a confusion matrix."""

import math
from statistics import NormalDist

import numpy as np

from classifier.core.random import stream
from classifier.metrics.confusion import confusion_counts
from classifier.metrics.intervals import Interval, wilson

RESAMPLES = 5000
# Classes with fewer images are resampled together.
_FEWEST = 10


def bootstrap(predicted: np.ndarray, labels: np.ndarray, classes: int) -> dict[str, Interval]:
    """Return intervals of `accuracy`, `balanced_accuracy` and `macro_f1`, without randomness.

    predicted, labels: int `(n,)`, n > 0. Classes without images count in no mean.

    Bias-corrected and accelerated (BCa) percentiles: Efron and Tibshirani, "An introduction to the
    bootstrap", 1993, chapter 14. Plain percentiles are too narrow on the side of the mistakes where
    there are few, as there should be.

    Images are resampled within each class: the split stage fixed the class sizes, and otherwise
    rare classes would be missing from resamples, which lowers macro F1. Of one or two images, all
    resamples are much alike, so that classes of fewer than _FEWEST are resampled together, as
    surveys collapse small strata (Wolter, "Introduction to variance estimation", 2007). Where these
    have fewer than _FEWEST images together, they are not resampled: the Wilson interval of their
    share of right answers is added to that of the other images, as independent parts of a sum
    (Zou and Donner, Statistics in Medicine 27 (2008) 1693-1702). So is what no image shows; see
    `_margins_unseen`.
    Resampling images is a multinomial draw from the cells of the confusion matrix, so that
    the work does not grow with the number of images.
    """
    counts = confusion_counts(predicted, labels, classes)
    hits, support, taken = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    known = _measures(hits, support, taken, support)
    few = (support > 0) & (support < _FEWEST)
    apart = few & (support[few].sum() < min(_FEWEST, support.sum()))
    drawn = _measures(*_draw(counts, few, apart), support)
    # Right answers may become wrong, and wrong ones right.
    down, up = (_margins(of, support) for of in (hits, support - hits))
    parts = _margins_apart(hits, support, apart)
    lower, higher = (_margins_unseen(of, support, few) for of in (support - hits, hits))
    return {
        name: _bca(
            float(value),
            drawn[name],
            (down[name], up[name]),
            (math.hypot(parts[name][0], lower[name]), math.hypot(parts[name][1], higher[name])),
        )
        for name, value in known.items()
    }


def _margins(images: np.ndarray, support: np.ndarray) -> dict[str, float]:
    """Return how much the three images that count most change each measure.

    In a mean over the classes, those of the smallest ones do.

    Args:
        images: of each class that may change, int `(classes,)`.
        support: all images of each class.
    """
    each = np.repeat(1 / np.maximum(support, 1), np.minimum(images, 3))
    of_means = float(np.sort(each)[-3:].sum()) / int((support > 0).sum())
    of_all = min(3, int(images.sum())) / int(support.sum())
    return {"accuracy": of_all, "balanced_accuracy": of_means, "macro_f1": of_means}


def _margins_unseen(rare: np.ndarray, support: np.ndarray, few: np.ndarray) -> dict[str, float]:
    """Return how much a rare kind of answer that no image shows may change each measure.

    Mistakes are rare in classes of which most images are right. Where such classes have none at
    all, resamples have none either; the rule of three says how many there may be. The same holds
    for right answers in classes of which most images are wrong.

    Args:
        rare: images of each class with answers of this kind, int `(classes,)`.
        support: all images of each class.
        few: whether a class is resampled together with others, or not at all, bool `(classes,)`.
    """
    alike = (2 * rare < support) & ~few
    is_unseen = alike & (rare[alike].sum() == 0)
    return _margins(np.where(is_unseen, support, 0), support)


def _margins_apart(
    hits: np.ndarray, support: np.ndarray, apart: np.ndarray
) -> dict[str, tuple[float, float]]:
    """Return how much the classes that are not resampled may lower and raise each measure.

    Args:
        hits: correct images of each class, int `(classes,)`.
        support: images of each class.
        apart: whether a class is not resampled, bool `(classes,)`.
    """
    right, images = hits[apart].sum(), support[apart].sum()
    low, high = (float(bound[0]) for bound in wilson(right[None], images[None]))
    share = right / max(images, 1)
    of_means = apart.sum() / (support > 0).sum()
    weights = {"accuracy": images / support.sum()}
    weights |= dict.fromkeys(("balanced_accuracy", "macro_f1"), of_means)
    return {
        name: (float(weight * (share - low)), float(weight * (high - share)))
        for name, weight in weights.items()
    }


def _measures(
    hits: np.ndarray, support: np.ndarray, taken: np.ndarray, measured: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the measures of one sample or several.

    Args:
        hits: correct images of each class, int `(..., classes)`.
        support: images of each class.
        taken: images that are predicted as each class.
        measured: images of each class that were measured, int `(classes,)`. A class that is drawn
            twice as often counts twice in a mean over the classes.

    Returns:
        Three measures, each `(...,)`.
    """
    weights = support / np.maximum(measured, 1)
    recall, f1 = hits / np.maximum(support, 1), 2 * hits / np.maximum(support + taken, 1)
    return {
        "accuracy": hits.sum(axis=-1) / support.sum(axis=-1),
        "balanced_accuracy": (weights * recall).sum(axis=-1) / weights.sum(axis=-1),
        "macro_f1": (weights * f1).sum(axis=-1) / weights.sum(axis=-1),
    }


def _bca(
    value: float, drawn: np.ndarray, margins: tuple[float, float], apart: tuple[float, float]
) -> Interval:
    """Return the BCa interval of a measure.

    Args:
        value: of the measure.
        drawn: its values in the resamples.
        margins: how much three images can lower and raise it.
        apart: how much what the resamples lack can lower and raise it; 0 without.
    """
    spread = float(drawn.std())
    if spread < 1e-9:
        # Where each class is all right or all wrong there is nothing to draw: the rule of three
        # (Hanley and Lippman-Hand, JAMA 249 (1983) 1743-1745).
        down, up = margins
        return Interval(max(0.0, value - down), min(1.0, value + up))
    # The acceleration is a sixth of the skewness.
    acceleration = float(((drawn - drawn.mean()) ** 3).mean()) / (6 * spread**3)
    below = (drawn < value - 1e-9).mean() + (np.abs(drawn - value) <= 1e-9).mean() / 2
    normal = NormalDist()
    bias = normal.inv_cdf(float(np.clip(below, 1 / len(drawn), 1 - 1 / len(drawn))))
    places = []
    for share in (0.025, 0.975):
        reach = bias + normal.inv_cdf(share)
        # Very skewed resamples would bring the divisor below 0, and the end to the other side.
        divisor = max(1 - acceleration * reach, 1e-9)
        places.append(normal.cdf(bias + reach / divisor))
    low, high = (float(bound) for bound in np.quantile(drawn, places))
    if any(apart):
        low = max(0.0, value - math.hypot(value - low, apart[0]))
        high = min(1.0, value + math.hypot(high - value, apart[1]))
    return Interval(low, high)


def _draw(
    counts: np.ndarray, few: np.ndarray, apart: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Resample; return the arguments of `_measures`, each int64 `(resamples, classes)`.

    Args:
        counts: confusion matrix, int64 `(classes, classes)`.
        few: whether a class is resampled together with the others of these, bool `(classes,)`.
        apart: whether the images of a class stay as they are, bool `(classes,)`.
    """
    generator = stream("bootstrap")
    hits, support, taken = (np.zeros((RESAMPLES, len(counts)), np.int64) for _ in range(3))
    sizes = counts.sum(axis=1)
    support += np.where(apart, sizes, 0)
    hits += np.where(apart, np.diag(counts), 0)
    taken += counts[apart].sum(axis=0)
    strata = [*np.flatnonzero(sizes >= _FEWEST)[:, None], np.flatnonzero(few & ~apart)]
    for stratum in filter(len, strata):
        labels, columns = counts[stratum].nonzero()
        cells = counts[stratum][labels, columns]
        drawn = generator.multinomial(cells.sum(), cells / cells.sum(), RESAMPLES)
        for label, column, images in zip(stratum[labels], columns, drawn.T, strict=True):
            support[:, label] += images
            taken[:, column] += images
            if label == column:
                hits[:, label] += images
    return hits, support, taken
