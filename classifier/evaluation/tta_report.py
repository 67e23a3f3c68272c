"""Tables of what merged views gain over the centre crop."""

import numpy as np
import pandas as pd

from classifier.evaluation.answer_report import per_class_table
from classifier.evaluation.answers import Answers
from classifier.metrics.classification import class_scores, cross_entropy
from classifier.metrics.intervals import paired_gain
from classifier.processing.softmax import Merge


def compare_merges(
    before: Answers, merged: dict[Merge, Answers], chosen: str, names: list[str]
) -> pd.DataFrame:
    """Return a row for each TTA policy, that is a way to merge the views.

    Args:
        before: answers of the centre crop.
        merged: answers of all views, by the way in which they are merged.
        chosen: how the views were chosen, GREEDY or CONFIGURED of `metrics.tta_verdict`.
        names: of the views.

    Returns:
        Columns `policy` (in words), `set, merge, views` (their number), `accuracy, log_loss, gain,
        low, high, p_value, corrected, regressed` on the test split, and `names` of the views.
    """
    rows = []
    for merge, after in merged.items():
        gain = paired_gain(before.right, after.right)
        rows.append(
            {
                "policy": f"{chosen}, mean of {merge}",
                "set": chosen,
                "merge": merge,
                "views": len(names),
                "accuracy": float(after.right.mean()),
                "log_loss": cross_entropy(after.probabilities, after.labels),
                "gain": gain.gain,
                "low": gain.low,
                "high": gain.high,
                "p_value": gain.p_value,
                "corrected": gain.corrected,
                "regressed": gain.regressed,
                "names": " ".join(names),
            }
        )
    return pd.DataFrame(rows)


def compare_classes(before: Answers, after: Answers) -> pd.DataFrame:
    """Return `per_class_table` of `after` with columns `before, after, corrected, regressed`.

    `before` and `after` are recalls, the other two are numbers of images.
    """
    table, labels = per_class_table(after), after.labels
    scores = class_scores(before.predicted, labels, len(table))
    return table.assign(
        before=table["recall"].where(table["recall"].isna(), scores.recall),
        after=table["recall"],
        corrected=np.bincount(labels[~before.right & after.right], minlength=len(table)),
        regressed=np.bincount(labels[before.right & ~after.right], minlength=len(table)),
    )
