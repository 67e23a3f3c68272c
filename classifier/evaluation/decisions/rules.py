"""Fit the rules that decide what is answered on the validation split; measure them on the test."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch

from classifier.data.dataset import Dataset
from classifier.evaluation.answers import Answers
from classifier.evaluation.decisions.costs import COLUMNS as COST_COLUMNS
from classifier.evaluation.decisions.costs import costs_of, costs_table
from classifier.evaluation.decisions.foreign import foreign_outputs
from classifier.evaluation.decisions.outside import COLUMNS as OUTSIDE_COLUMNS
from classifier.evaluation.decisions.outside import (
    LabelledOutputs,
    Splits,
    fit_score,
    foreign_table,
    outside_table,
    outside_threshold,
)
from classifier.evaluation.decisions.prediction_sets import COLUMNS as SET_COLUMNS
from classifier.evaluation.decisions.prediction_sets import fit_sets, sets_table
from classifier.evaluation.params import NO_FOREIGN, EvaluateParams
from classifier.metrics.conformal import SetThresholds
from classifier.metrics.outside import OutsideScore
from classifier.models.bundle import Bundle
from classifier.models.network_outputs import (
    NetworkOutputs,
    network_outputs,
    spread_rows,
    training_dtype,
)
from classifier.models.weights.stored_backbone import PretrainedHead
from classifier.processing.decision import Decision, PredictionSets
from classifier.processing.softmax import probabilities

# Training images that the outside score is fitted to: more take longer and change little.
_MOST_IMAGES = 5000


@dataclass(frozen=True)
class FittedRules:
    """The rules, and what they were fitted to.

    Attributes:
        decision: the rules.
        splits: outputs of the network, for the outside score; None without.
        thresholds: of the prediction sets; None without sets.
        score: the outside score; None without.
        head: the last layer of the pretrained network, for the outside score; None without.
    """

    decision: Decision
    splits: Splits | None = None
    thresholds: SetThresholds | None = None
    score: OutsideScore | None = None
    head: PretrainedHead | None = None


def fit_rules(
    bundle: Bundle,
    dataset: Dataset,
    test: NetworkOutputs,
    params: EvaluateParams,
    head: PretrainedHead | None,
) -> FittedRules:
    """Return the rules that `params` ask for, their thresholds from the validation split.

    Args:
        bundle: the trained model.
        dataset: the data set that it belongs to.
        test: outputs of the test split.
        params: section `evaluate`.
        head: see `fit_score`.

    Raises:
        UserError: see `costs_of`.
    """
    costs = None if params.costs is None else costs_of(params.costs, dataset.classes)
    fitted = FittedRules(Decision(reject_below=params.reject_below, costs=costs))
    if params.coverage is None and params.outside_share is None:
        return fitted
    val = _labelled(bundle, dataset, dataset.rows("val"), params, torch.float32)
    if params.coverage is not None:
        given = probabilities(val.outputs.logits, bundle.spec.temperature)
        thresholds = fit_sets(Answers(dataset, dataset.rows("val"), given), params.coverage)
        sets = PredictionSets(coverage=params.coverage, thresholds=thresholds.values.tolist())
        decision = fitted.decision.model_copy(update={"sets": sets})
        fitted = replace(fitted, decision=decision, thresholds=thresholds)
    if params.outside_share is not None:
        rows = spread_rows(dataset, _MOST_IMAGES)
        train = _labelled(bundle, dataset, rows, params, training_dtype(bundle))
        of_test = LabelledOutputs(test, dataset.labels[dataset.rows("test")])
        splits = Splits(train, val, of_test)
        score = fit_score(train, val.outputs, head)
        above = outside_threshold(score(*val.outputs), params.outside_share)
        decision = fitted.decision.model_copy(update={"outside_above": above})
        fitted = replace(fitted, decision=decision, splits=splits, score=score, head=head)
    return fitted


def rules_tables(
    answers: Answers, fitted: FittedRules, bundle: Bundle, params: EvaluateParams
) -> dict[str, pd.DataFrame]:
    """Return a table of each rule, by the name of its file; without rows where there is no rule.

    Args:
        answers: of the test split.
        fitted: the rules.
        bundle: the trained model.
        params: section `evaluate`.
    """
    tables = {
        "prediction_sets": pd.DataFrame(columns=SET_COLUMNS),
        "costs": pd.DataFrame(columns=COST_COLUMNS),
        "outside": pd.DataFrame(columns=OUTSIDE_COLUMNS),
    }
    if fitted.thresholds is not None and params.coverage is not None:
        tables["prediction_sets"] = sets_table(answers, fitted.thresholds, params.coverage)
    if fitted.splits is not None and fitted.score is not None and params.outside_share is not None:
        left_out = outside_table(
            fitted.splits,
            answers.dataset.classes,
            share=params.outside_share,
            frozen=bundle.model.backbone_is_frozen,
            head=fitted.head,
        )
        foreign = foreign_outputs(params, bundle)
        rows = [left_out]
        if foreign is not None:
            rows.append(foreign_table(fitted.splits, foreign, fitted.score, params.outside_share))
        tables["outside"] = pd.concat(rows, ignore_index=True)
    elif params.foreign != NO_FOREIGN:
        print(
            "evaluate: note: the images of evaluate.foreign are not used, since "
            "evaluate.outside_share is null"
        )
    tables["costs"] = costs_table(answers, fitted.decision.costs)
    return tables


def _labelled(
    bundle: Bundle, dataset: Dataset, rows: np.ndarray, params: EvaluateParams, dtype: torch.dtype
) -> LabelledOutputs:
    outputs = network_outputs(
        bundle, dataset.images, rows, batch_size=params.batch_size, dtype=dtype
    )
    return LabelledOutputs(outputs, dataset.labels[rows])
