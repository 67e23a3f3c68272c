"""Confidence intervals of test measures, and a test of the difference of two predictions."""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from scipy.special import bdtr, stdtrit

from classifier.core.random import stream
from classifier.metrics.confusion import confusion_counts

RESAMPLES = 5000
# Classes with fewer images are resampled together.
_FEWEST = 10
_LEVEL = 0.05  # of tests, as intervals hold 95%


class Interval(NamedTuple):
    """A 95% confidence interval."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:.4f} to {self.high:.4f}"


@dataclass(frozen=True)
class PairedGain:
    """How replacing one prediction by another changes the accuracy on the same images.

    Attributes:
        gain: accuracy after minus accuracy before.
        low: lower end of the 95% confidence interval of the gain.
        high: upper end of it. The interval holds zero where the test does not reject it.
        p_value: of McNemar's exact test that both predictions are equally good.
        corrected: number of images that became right.
        regressed: number of images that became wrong.
    """

    gain: float
    low: float
    high: float
    p_value: float
    corrected: int
    regressed: int

    @property
    def is_certain(self) -> bool:
        """Whether the interval excludes a gain of zero."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        return (
            f"{self.gain:+.4f} (95% interval {self.low:+.4f} to {self.high:+.4f}, "
            f"McNemar p = {self.p_value:.2g})"
        )


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
    (Zou and Donner, Statistics in Medicine 27 (2008) 1693-1702).
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
    return {
        name: _bca(float(value), drawn[name], (down[name], up[name]), parts[name])
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


def wilson(hits: np.ndarray, total: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both ends of the intervals of `hits / total`: float64 `(n,)`; 0 and 1 without images.

    hits, total: int `(n,)`. Wilson, "Probable inference, the law of succession, and statistical
    inference", Journal of the American Statistical Association 22 (1927) 209-212: of few images
    too, and of a share of 0 or 1, it keeps close to its 95%.
    """
    reach = NormalDist().inv_cdf(0.975)
    middle = hits + reach**2 / 2
    spread = reach * np.sqrt(hits * (total - hits) / np.maximum(total, 1) + reach**2 / 4)
    low, high = ((middle + side * spread) / (total + reach**2) for side in (-1, 1))
    return np.clip(low, 0, 1), np.clip(high, 0, 1)


def mean_interval(values: np.ndarray, least: float, most: float) -> Interval:
    """Return the interval of the mean of `values`, float `(n,)`, by Student's t distribution.

    As in `paired_gain`, one value of each end is added: where all values are equal, such as costs
    without an error, another sample may still have others. NaN for fewer than two values.

    Args:
        values: from `least` to `most`.
        least: smallest possible value.
        most: largest possible value.
    """
    if len(values) < 2:
        return Interval(math.nan, math.nan)
    count, added = len(values) + 2, np.append(values, [least, most])
    reach = float(stdtrit(count - 1, 0.975)) * float(np.std(added, ddof=1)) / math.sqrt(count)
    mean = float(np.mean(added))
    return Interval(max(mean - reach, least), min(mean + reach, most))


def _bca(
    value: float, drawn: np.ndarray, margins: tuple[float, float], apart: tuple[float, float]
) -> Interval:
    """Return the BCa interval of a measure.

    Args:
        value: of the measure.
        drawn: its values in the resamples.
        margins: how much three images can lower and raise it.
        apart: how much the images that are not resampled can lower and raise it; 0 without.
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


def paired_gain(before: np.ndarray, after: np.ndarray) -> PairedGain:
    """Compare two predictions of the same images; before, after: bool `(n,)`, True where right.

    The interval is the adjusted Wald interval of Bonett and Price, "Adjusted Wald confidence
    interval for a difference of binomial proportions based on paired data", Journal of Educational
    and Behavioral Statistics 37 (2012) 479-488: it adds one image to each of the two kinds of
    disagreement, and so keeps its coverage where there are few of them. Where the exact test does
    not reject a gain of zero at 5%, the interval reaches zero: its approximation is weaker evidence
    where there are few disagreements.
    """
    corrected, regressed = int((~before & after).sum()), int((before & ~after).sum())
    more, fewer = (corrected + 1) / (len(before) + 2), (regressed + 1) / (len(before) + 2)
    difference = more - fewer
    deviation = math.sqrt((more + fewer - difference**2) / (len(before) + 2))
    reach = NormalDist().inv_cdf(0.975) * deviation
    low, high = max(difference - reach, -1.0), min(difference + reach, 1.0)
    p_value = mcnemar(corrected, regressed)
    if p_value >= _LEVEL:
        low, high = min(low, 0.0), max(high, 0.0)
    return PairedGain(
        gain=(corrected - regressed) / len(before),
        low=low,
        high=high,
        p_value=p_value,
        corrected=corrected,
        regressed=regressed,
    )


def mcnemar(corrected: int, regressed: int) -> float:
    """Return the two-sided p-value of McNemar's exact test (Psychometrika 12 (1947) 153-157).

    Where two predictions are equally good, each disagreement is as likely to go either way.
    """
    if corrected == regressed:
        return 1.0
    return min(1.0, 2 * float(bdtr(min(corrected, regressed), corrected + regressed, 0.5)))
