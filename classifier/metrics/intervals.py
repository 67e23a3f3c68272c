"""Confidence intervals of shares and means, and a test of the difference of two predictions."""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from scipy.special import bdtr, stdtrit

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


def wilson(hits: np.ndarray, total: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both ends of the intervals of `hits / total`: float64 `(n,)`; 0 and 1 without images.

    hits: `(n,)`, counted or estimated; total: int `(n,)`. Wilson, "Probable inference, the law of
    succession, and statistical inference", Journal of the American Statistical Association 22
    (1927) 209-212: of few images too, and of a share of 0 or 1, it keeps close to its 95%.
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
    return Interval(float(max(mean - reach, least)), float(min(mean + reach, most)))


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
