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
        high: upper end of it.
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
    rare classes would be missing from resamples, which lowers macro F1. Resampling images of a
    class is a multinomial draw from its row of the confusion matrix, so that the work does not grow
    with the number of images.
    """
    counts = confusion_counts(predicted, labels, classes)
    hits, taken = _draw(counts)
    support, found = counts.sum(axis=1), counts.sum(axis=0)
    there, own = support > 0, np.diag(counts)
    sizes = np.maximum(support + found, 1)

    def f1(hits: np.ndarray, taken: np.ndarray) -> np.ndarray:
        scores = 2 * hits / np.maximum(support + taken, 1)
        return scores[..., there].mean(axis=-1)

    # What an image of a class (row) adds to the measure when it is taken for another (column).
    diagonal = np.eye(classes)
    of_recall = diagonal / (np.maximum(support, 1) * there.sum())[:, None]
    of_f1 = (diagonal * (2 / sizes)[:, None] - 2 * own / sizes**2) / there.sum()
    drawn_recall = (hits[:, there] / support[there]).mean(axis=1)
    parts = {
        "accuracy": (own.sum() / len(labels), hits.sum(axis=1) / len(labels), diagonal),
        "balanced_accuracy": ((own[there] / support[there]).mean(), drawn_recall, of_recall),
        "macro_f1": (f1(own, found), f1(hits, taken), of_f1),
    }
    return {
        name: _bca(float(value), drawn, effects, counts)
        for name, (value, drawn, effects) in parts.items()
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


def mean_interval(values: np.ndarray) -> Interval:
    """Return the interval of the mean of `values`, float `(n,)`, by Student's t distribution.

    NaN for fewer than two values.
    """
    if len(values) < 2:
        return Interval(math.nan, math.nan)
    reach = float(stdtrit(len(values) - 1, 0.975)) * np.std(values, ddof=1) / math.sqrt(len(values))
    mean = float(np.mean(values))
    return Interval(mean - float(reach), mean + float(reach))


def _bca(value: float, drawn: np.ndarray, effects: np.ndarray, counts: np.ndarray) -> Interval:
    """Return the BCa interval of a measure.

    Args:
        value: of the measure.
        drawn: its values in the resamples.
        effects: what an image in each cell of the confusion matrix adds, in any unit.
        counts: the confusion matrix.
    """
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    influence = effects - (shares * effects).sum(axis=1, keepdims=True)
    spread = (counts * influence**2).sum()
    if spread < 1e-12 * (effects**2).max():
        # Without a mistake there is nothing to draw: the rule of three (Hanley and Lippman-Hand,
        # JAMA 249 (1983) 1743-1745).
        margin = 3 / int(counts.sum())
        return Interval(max(0.0, value - margin), min(1.0, value + margin))
    acceleration = (counts * influence**3).sum() / (6 * spread**1.5)
    below = (drawn < value - 1e-9).mean() + (np.abs(drawn - value) <= 1e-9).mean() / 2
    normal = NormalDist()
    bias = normal.inv_cdf(float(np.clip(below, 1 / len(drawn), 1 - 1 / len(drawn))))
    places = []
    for share in (0.025, 0.975):
        reach = bias + normal.inv_cdf(share)
        places.append(normal.cdf(bias + reach / (1 - acceleration * reach)))
    low, high = np.quantile(drawn, places)
    return Interval(float(low), float(high))


def _draw(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Resample; return correct images and images predicted as a class: `(resamples, classes)`.

    counts: confusion matrix, int64 `(classes, classes)`.
    """
    generator = stream("bootstrap")
    hits = np.zeros((RESAMPLES, len(counts)), np.int64)
    taken = np.zeros_like(hits)
    for label, row in enumerate(counts):
        (columns,) = row.nonzero()
        if len(columns):
            drawn = generator.multinomial(row.sum(), row[columns] / row.sum(), RESAMPLES)
            taken[:, columns] += drawn
            hits[:, label] = drawn[:, columns == label].sum(axis=1)
    return hits, taken


def paired_gain(before: np.ndarray, after: np.ndarray) -> PairedGain:
    """Compare two predictions of the same images; before, after: bool `(n,)`, True where right.

    The interval is the adjusted Wald interval of Bonett and Price, "Adjusted Wald confidence
    interval for a difference of binomial proportions based on paired data", Journal of Educational
    and Behavioral Statistics 37 (2012) 479-488: it adds one image to each of the two kinds of
    disagreement, and so keeps its coverage where there are few of them.
    """
    corrected, regressed = int((~before & after).sum()), int((before & ~after).sum())
    more, fewer = (corrected + 1) / (len(before) + 2), (regressed + 1) / (len(before) + 2)
    difference = more - fewer
    deviation = math.sqrt((more + fewer - difference**2) / (len(before) + 2))
    reach = NormalDist().inv_cdf(0.975) * deviation
    return PairedGain(
        gain=(corrected - regressed) / len(before),
        low=max(difference - reach, -1.0),
        high=min(difference + reach, 1.0),
        p_value=mcnemar(corrected, regressed),
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
