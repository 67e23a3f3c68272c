"""Say in sentences what has changed between the test split and recorded answers."""

from typing import NamedTuple

import numpy as np

from classifier.core.text import counted
from classifier.inference.measures import OF_ONE_VIEW
from classifier.monitoring.recorded import ReferenceValues, Values, names_of
from classifier.monitoring.two_samples import (
    Shares,
    ShiftTest,
    complete_change,
    counts_test,
    distribution_test,
    holm,
    label_shares,
    noticeable_distance,
)

CLASSES = "classes"
# A change is reported where its p-value, corrected for the number of tests, is below this: of
# 100 comparisons without a change, at most about one reports any.
LEVEL = 0.01
_LISTED = 5
# Digits to which both samples are rounded before they are compared: beyond these, answers differ by
# how they were written and by what ran the network, while most confidences lie next to 1.
_DECIMALS = {"confidence": 3, "outside": 2, "brightness": 1, "width": 0, "height": 0}
_WORDS = {
    "confidence": ("the model is less confident", "the model is more confident"),
    "outside": ("images are more like those of the classes", "images are less like the classes"),
    "brightness": ("images are darker", "images are brighter"),
    "width": ("images are narrower", "images are wider"),
    "height": ("images are lower", "images are higher"),
}
_COVARIATES = ("outside", "brightness", "width", "height")


class Change(NamedTuple):
    """How a measure, or the shares of the classes, compare with the test split.

    Attributes:
        name: of MEASURES, or CLASSES.
        test: of the hypothesis that nothing has changed; its p-value is corrected.
        before: median in the test split; NaN for CLASSES.
        now: median of the answers; NaN for CLASSES.
    """

    name: str
    test: ShiftTest
    before: float
    now: float

    @property
    def found(self) -> bool:
        """Whether it is reported."""
        return self.test.p_value < LEVEL


class Drift(NamedTuple):
    """The result of a comparison.

    Attributes:
        values: numbers of values of the measures that were compared: in the reference, of which
            quantiles may stand for more images, and of the answers.
        images: number of test images and number of answers.
        changes: of each measure that both have, and of the classes.
        shares: of the true classes of the new images, corrected by the confusion matrix.
        merged: number of answers that merge several views.
    """

    values: tuple[int, int]
    images: tuple[int, int]
    changes: list[Change]
    shares: Shares
    merged: int = 0


def measure_drift(reference: ReferenceValues, answers: Values) -> Drift:
    """Compare recorded answers with the test split."""
    names = names_of(reference.values.measures.keys() & answers.measures.keys())
    tests, medians = [], []
    for name in names:
        before, now = (
            np.round(sample.measures[name], _DECIMALS[name])
            for sample in (reference.values, answers)
        )
        tests.append(distribution_test(before, now))
        medians.append((float(np.median(before)), float(np.median(now))))
    tests.append(counts_test(reference.values.predicted, answers.predicted))
    medians.append((float("nan"),) * 2)
    corrected = holm([test.p_value for test in tests])
    changes = [
        Change(name, test._replace(p_value=p_value), *pair)
        for name, test, p_value, pair in zip(
            [*names, CLASSES], tests, corrected, medians, strict=True
        )
    ]
    images = int(reference.confusion.sum()), int(answers.predicted.sum())
    sizes = [len(values) for values in reference.values.measures.values()]
    return Drift(
        (min(sizes), images[1]),
        images,
        changes,
        label_shares(reference.confusion, answers.predicted),
        answers.merged,
    )


def describe_drift(drift: Drift, reference: ReferenceValues) -> list[str]:
    """Return the table of the tests, and then what they mean in sentences."""
    before, now = drift.images
    lines = [f"{counted(now, 'answer')}, compared with {counted(before, 'test image')}"]
    if drift.merged:
        lines.append(
            f"several views are merged in {counted(drift.merged, 'answer')}, but the test images "
            "were seen in one: confidence and outside score are not compared"
        )
    of_one_view = OF_ONE_VIEW if drift.merged else ()
    compared = {change.name for change in drift.changes}
    if left_out := names_of(reference.values.measures.keys() - compared - set(of_one_view)):
        lines.append(f"not compared, since not every answer has a value: {', '.join(left_out)}")
    for change in drift.changes:
        medians = "" if change.name == CLASSES else f"{change.before:.4g} -> {change.now:.4g}"
        lines.append(
            f"{change.name:<12}{medians:<20}distance {change.test.distance:.3f}  "
            f"p {change.test.p_value:.2g}{'  changed' if change.found else ''}"
        )
    found = [change for change in drift.changes if change.found]
    if not found:
        return [*lines, _nothing(drift)]
    lines += [_sentence(change) for change in found]
    if CLASSES in [change.name for change in found]:
        lines += _class_lines(drift, reference)
    return lines


def _nothing(drift: Drift) -> str:
    level = LEVEL / len(drift.changes)
    least = noticeable_distance(*drift.values, level)
    answers = counted(drift.images[1], "answer")
    if least >= 1 and complete_change(*drift.values).p_value >= level:
        return f"No drift is found: too few answers ({drift.images[1]}) to notice any change."
    if least >= 1:
        return (
            f"No drift is found: with {answers}, only a nearly complete change of a distribution "
            "is noticed."
        )
    return (
        f"No drift is found: with {answers}, a change of a distribution "
        f"by a distance of {least:.2f} or more is noticed nine times out of ten, a smaller one "
        "less often."
    )


def _sentence(change: Change) -> str:
    sure = (
        "without a change, this happens less than once in a million comparisons"
        if change.test.p_value < 1e-6
        else f"without a change, this happens in {change.test.p_value:.2g} of all comparisons"
    )
    if change.name == CLASSES:
        return f"Drift: the model predicts other shares of the classes ({sure})."
    lower, higher = _WORDS[change.name]
    if change.now == change.before:
        what = f"the {change.name} is distributed otherwise, with the same median"
    else:
        what = lower if change.now < change.before else higher
    return f"Drift: {what} ({sure})."


def _class_lines(drift: Drift, reference: ReferenceValues) -> list[str]:
    """Return the classes whose corrected shares have changed, the largest changes first."""
    trained = reference.confusion.sum(axis=1) / reference.confusion.sum()
    estimate, low, high = drift.shares
    changed = np.flatnonzero((trained < low) | (trained > high))
    order = changed[np.argsort(-np.abs(estimate - trained)[changed], kind="stable")]
    lines = [
        f"  {reference.classes[index]}: {trained[index]:.1%} of the test split, now "
        f"{estimate[index]:.1%} ({low[index]:.1%} to {high[index]:.1%})"
        for index in order[:_LISTED].tolist()
    ]
    if len(order) > _LISTED:
        lines.append(f"  and {counted(len(order) - _LISTED, 'other class')}")
    if any(change.found for change in drift.changes if change.name in _COVARIATES):
        lines.append(
            "  The images themselves have changed too, so that these shares may be wrong: they "
            "assume that images of a class look as before."
        )
    return lines
