"""What the decision of least expected cost saves on the test split.

Chow, "On optimum recognition error and reject tradeoff", IEEE Transactions on Information Theory
16 (1970) 41-46; Elkan, "The foundations of cost-sensitive learning", IJCAI 2001.
"""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from classifier.core.errors import UserError
from classifier.evaluation.answers import Answers
from classifier.evaluation.params import CostParams
from classifier.metrics.intervals import mean_interval
from classifier.processing.decision import Costs, Decision
from classifier.processing.rules import cost_matrix, decide, largest_cost

COLUMNS = ["decision", "mean_cost", "low", "high", "unknown_share", "answered_accuracy"]
SAVED = "saved"


def costs_of(params: CostParams, classes: Sequence[str]) -> Costs:
    """Return the costs as a matrix: an error that `params` does not name costs 1.

    Raises:
        UserError: `evaluate.costs.errors` names no class of the model.
    """
    errors = 1.0 - np.eye(len(classes))
    places = {name: index for index, name in enumerate(classes)}
    for actual, row in params.errors.items():
        for predicted, cost in row.items():
            if unknown := [name for name in (actual, predicted) if name not in places]:
                raise UserError(
                    f"evaluate.costs.errors names {unknown[0]}, which is no class; the classes "
                    f"are {', '.join(classes)}."
                )
            errors[places[actual], places[predicted]] = cost
    return Costs(reject=params.reject, errors=errors.tolist() if params.errors else None)


def costs_table(answers: Answers, costs: Costs | None) -> pd.DataFrame:
    """Return the mean cost of an image without and with the costs, and what they save.

    Args:
        answers: of the test split.
        costs: from `costs_of`; None gives no rows.

    Returns:
        COLUMNS: `low` and `high` are the 95% interval (`mean_interval`) of `mean_cost`, which in
        the last row is the cost saved per image.
    """
    if costs is None:
        return pd.DataFrame(columns=COLUMNS)
    rules = {
        "most probable class": Decision(reject_below=None),
        "least expected cost": Decision(reject_below=None, costs=costs),
    }
    rows, paid, most = [], [], largest_cost(costs)
    for name, rule in rules.items():
        decided = decide(answers.probabilities, None, rule)
        unknown = np.array([reason is not None for reason in decided.reasons])
        errors = cost_matrix(costs, answers.probabilities.shape[1])[answers.labels, decided.classes]
        each = np.where(unknown, costs.reject or 0.0, errors)
        right = (decided.classes == answers.labels)[~unknown]
        accuracy = float(right.mean()) if len(right) else math.nan
        rows.append((name, each.mean(), *mean_interval(each, 0.0, most), unknown.mean(), accuracy))
        paid.append(each)
    saved = paid[0] - paid[1]
    rows.append((SAVED, saved.mean(), *mean_interval(saved, -most, most), math.nan, math.nan))
    return pd.DataFrame(rows, columns=COLUMNS)


def cost_lines(table: pd.DataFrame) -> list[str]:
    """Describe what is saved in a line for the console; nothing without costs."""
    if table.empty:
        return []
    before, after, saved = (row for _, row in table.iterrows())
    interval = f"95% {saved['low']:+.4f} to {saved['high']:+.4f}"
    if math.isnan(saved["low"]):
        interval = "one image gives no interval"
    less = saved["mean_cost"]
    change = f"{less:.4f} less" if less >= 0 else f"{-less:.4f} MORE"
    if less < 0:
        interval += " saved: the most probable class would cost less here"
    return [
        f"costs: {after['mean_cost']:.4f} for an image instead of {before['mean_cost']:.4f}, "
        f"{change} ({interval}), with {after['unknown_share']:.1%} of the answers `unknown`"
    ]
