"""Measure the answers for the test split."""

import numpy as np
import pandas as pd

from classifier.evaluation.answers import Answers
from classifier.evaluation.params import EvaluateParams
from classifier.metrics.calibration import Reliability, reliability, risk_coverage_curve
from classifier.metrics.classification import balanced_accuracy, cross_entropy, top_accuracy
from classifier.processing.decision import Decision
from classifier.processing.rules import decide

# With more groups by image, intervals of independent images are wide enough.
_ALONE = 0.9


def measure(answers: Answers, per_class: pd.DataFrame) -> dict[str, float]:
    """Return accuracy, macro F1, balanced accuracy and top-k accuracies.

    Top 3 and top 5 are left out where there are no more classes than that.

    Args:
        answers: calibrated answers for the test split.
        per_class: `per_class_table` of these answers.
    """
    given, labels = answers.probabilities, answers.labels
    return {
        "accuracy": float(answers.right.mean()),
        "macro_f1": float(per_class["f1"].mean()),
        "balanced_accuracy": balanced_accuracy(answers.predicted, labels),
        **{
            f"top{best}_accuracy": top_accuracy(given, labels, best)
            for best in (3, 5)
            if len(per_class) > best
        },
    }


def measure_without_leaks(answers: Answers) -> dict[str, float]:
    """Return the accuracy on the test images that have no duplicate in training, and their share.

    The result is empty where all or none of the test images have one.
    """
    leaked = answers.dataset.leaked("test")
    if leaked.all() or not leaked.any():
        return {}
    return {
        "accuracy_without_leaks": float(answers.right[~leaked].mean()),
        "leaked_share": float(leaked.mean()),
    }


def measure_groups(answers: Answers) -> dict[str, float]:
    """Return the number of groups of test images by that of images, where it is under _ALONE.

    An image that is in no group (`split.group_by`, duplicates) is one by itself.
    """
    groups = answers.dataset.manifest["group"].to_numpy(np.int64)[answers.rows]
    together = groups[groups > 0]
    share = (len(np.unique(together)) + len(groups) - len(together)) / len(groups)
    return {"groups_per_image": share} if share < _ALONE else {}


def measure_confidence(
    raw: Answers, answers: Answers, params: EvaluateParams, decision: Decision
) -> dict[str, float]:
    """Return log loss, ECE, AURC, and what the rules leave.

    Where they may answer `unknown`, `coverage` is the share of images that are answered and
    `answered_accuracy` their accuracy, which is left out where no image is answered.

    Args:
        raw: answers before temperature scaling.
        answers: the same after it.
        params: section `evaluate`.
        decision: the rules that say what is answered.
    """
    before, after = (reliability_of(of, params) for of in (raw, answers))
    values = {
        "log_loss": cross_entropy(answers.probabilities, answers.labels),
        "log_loss_uncalibrated": cross_entropy(raw.probabilities, raw.labels),
        "ece": after.ece,
        "ece_uncalibrated": before.ece,
        "aurc": risk_coverage_curve(answers.confidence, answers.right).aurc,
    }
    if decision.may_refuse:
        decided = decide(answers.probabilities, answers.outside, decision)
        answered = np.array([reason is None for reason in decided.reasons])
        values["coverage"] = float(answered.mean())
        if answered.any():
            right = decided.classes == answers.labels
            values["answered_accuracy"] = float(right[answered].mean())
    return values


def reliability_of(answers: Answers, params: EvaluateParams) -> Reliability:
    """Return the reliability diagram of these answers, in `evaluate.calibration_bins` bins."""
    return reliability(answers.probabilities, answers.labels, params.calibration_bins)
