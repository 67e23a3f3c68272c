"""What several views gain over the centre of each image, as tables."""

import numpy as np
import pandas as pd

from classifier.evaluation.answer_report import per_class_table
from classifier.evaluation.answers import Answers
from classifier.metrics.classification import class_scores, cross_entropy
from classifier.metrics.intervals import paired_gain
from classifier.processing.softmax import Merge
from classifier.processing.views import View


def compare_sets(
    before: Answers,
    merged: dict[tuple[str, Merge], Answers],
    sets: dict[str, list[View]],
) -> pd.DataFrame:
    """A row for each set of views and way to merge them, on the test split.

    Columns `set, merge, views, accuracy, log_loss, gain, low, high, p_value, names`.
    """
    rows = []
    for (name, merge), after in merged.items():
        gain = paired_gain(before.right, after.right)
        rows.append(
            {
                "set": name,
                "merge": merge,
                "views": len(sets[name]),
                "accuracy": float(after.right.mean()),
                "log_loss": cross_entropy(after.probabilities, after.labels),
                "gain": gain.gain,
                "low": gain.low,
                "high": gain.high,
                "p_value": gain.p_value,
                "names": " ".join(view.name for view in sets[name]),
            }
        )
    return pd.DataFrame(rows)


def compare_classes(before: Answers, after: Answers) -> pd.DataFrame:
    """`per_class_table` of `after`, with columns `before, after, corrected, spoiled`.

    `before` and `after` are recalls, the other two are numbers of images.
    """
    table, labels = per_class_table(after), after.labels
    scores = class_scores(before.predicted, labels, len(table))
    return table.assign(
        before=scores.recall,
        after=table["recall"],
        corrected=np.bincount(labels[~before.right & after.right], minlength=len(table)),
        spoiled=np.bincount(labels[before.right & ~after.right], minlength=len(table)),
    )
