"""Evaluate the trained model on the test split, each image through the centre crop."""

import time
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from classifier.core.files import write_json
from classifier.core.text import counted, listed
from classifier.data.dataset import Dataset
from classifier.evaluation.answer_report import (
    confused_pairs_table,
    measures_table,
    per_class_table,
    write_report,
    write_table,
)
from classifier.evaluation.answers import Answers
from classifier.evaluation.calibration_report import (
    coverage_figure,
    coverage_table,
    reliability_figure,
)
from classifier.evaluation.decisions.costs import cost_lines
from classifier.evaluation.decisions.outside import outside_lines, outside_measures
from classifier.evaluation.decisions.prediction_sets import set_lines, set_measures
from classifier.evaluation.decisions.rules import fit_rules, rules_tables
from classifier.evaluation.feature_map import map_features
from classifier.evaluation.galleries import confident_mistakes, least_confident_correct
from classifier.evaluation.measures import (
    measure,
    measure_confidence,
    measure_groups,
    measure_without_leaks,
    reliability_of,
)
from classifier.evaluation.params import EvaluateParams
from classifier.evaluation.slices import (
    columns_without_slice,
    describe_worst,
    slices_table,
    worst_slice,
)
from classifier.metrics.bootstrap import bootstrap
from classifier.metrics.calibration import risk_coverage_curve
from classifier.metrics.intervals import Interval
from classifier.models.bundle import Bundle
from classifier.models.network_outputs import network_outputs
from classifier.models.outside import OUTSIDE_FILE, save_outside
from classifier.models.weights.stored_backbone import PretrainedHead
from classifier.plotting.figures import write_png
from classifier.processing.decision import Decision
from classifier.processing.softmax import DECISION, probabilities

# Measures in metrics.json, a row of `dvc exp show`; the others are in measures.csv.
METRICS = ("accuracy", "macro_f1", "ece", "worst_slice")
PAIRS_PRINTED = 3


class Evaluation(NamedTuple):
    """Results on the test split.

    Attributes:
        measures: all measures by name.
        intervals: 95% confidence intervals of some of them.
        confused_pairs: see `confused_pairs_table`.
        images: number of test images.
        images_per_second: speed of the prediction.
        missing: names of the classes without test images.
        slices: see `slices_table`.
        without_slice: see `columns_without_slice`.
        rules: see `rules_tables`.
    """

    measures: dict[str, float]
    intervals: dict[str, Interval]
    confused_pairs: pd.DataFrame
    images: int
    images_per_second: float
    missing: list[str]
    slices: pd.DataFrame
    without_slice: dict[str, str]
    rules: dict[str, pd.DataFrame]

    def lines(self) -> list[str]:
        """Describe the most important measures, in lines for the console."""
        values, intervals = self.measures, self.intervals
        accuracy, f1 = values["accuracy"], values["macro_f1"]
        lines = [
            f"accuracy {accuracy:.4f} on {counted(self.images, 'test image')} (95% "
            f"{intervals['accuracy']}), macro F1 {f1:.4f} (95% {intervals['macro_f1']})",
            f"temperature scaling: ECE from {values['ece_uncalibrated']:.4f} to "
            f"{values['ece']:.4f}, log loss from {values['log_loss_uncalibrated']:.4f} to "
            f"{values['log_loss']:.4f}",
        ]
        if self.missing:
            lines.append(
                f"no test images of {listed(self.missing)}: their measures are left out, and "
                "macro F1 is the mean of the other classes"
            )
        if "leaked_share" in values:
            lines.append(
                f"accuracy {values['accuracy_without_leaks']:.4f} without the "
                f"{values['leaked_share']:.1%} of the test images that have a duplicate or their "
                "group in training"
            )
        if "groups_per_image" in values:
            lines.append(
                f"the test images are of {round(values['groups_per_image'] * self.images)} groups, "
                "but count as independent: intervals are narrower, and p-values smaller, than they "
                "should be"
            )
        if "coverage" in values:
            accuracy = values.get("answered_accuracy")
            among = "" if accuracy is None else f", with accuracy {accuracy:.4f}"
            lines.append(f"{values['coverage']:.1%} of the images are answered{among}")
        pairs = self.confused_pairs.head(PAIRS_PRINTED)
        for _, _, count, share, pair in pairs.itertuples(index=False, name=None):
            lines.append(f"  {pair}: {count} of its images, {share:.1%}")
        if worst := describe_worst(self.slices):
            lines.append(worst)
        if self.without_slice:
            told = ", ".join(f"{name} ({why})" for name, why in self.without_slice.items())
            lines.append(f"columns of evaluate.slices that make no slice: {told}")
        lines += set_lines(self.rules["prediction_sets"]) + cost_lines(self.rules["costs"])
        return lines + outside_lines(self.rules["outside"], values.get("refused_share"))


def evaluate(
    bundle: Bundle,
    dataset: Dataset,
    params: EvaluateParams,
    results: Path,
    models: Path,
    head: PretrainedHead | None,
) -> Evaluation:
    """Measure the model on the test split; write tables, charts and the decision.

    Args:
        bundle: the trained model.
        dataset: the data set that it belongs to (`load_trained`).
        params: section `evaluate`.
        results: folder for `metrics.json`, tables and charts.
        models: folder for the files that say what is answered: `Decision` and the outside score.
        head: the last layer that the pretrained weights came with, where the backbone is as it was.
    """
    asked = time.perf_counter()
    rows = dataset.rows("test")
    outputs = network_outputs(bundle, dataset.images, rows, batch_size=params.batch_size)
    seconds = time.perf_counter() - asked
    fitted = fit_rules(bundle, dataset, outputs, params, head)
    outside = None if fitted.score is None else fitted.score(*outputs)
    raw = Answers(dataset, rows, probabilities(outputs.logits, 1.0))
    calibrated = probabilities(outputs.logits, bundle.spec.temperature)
    answers = Answers(dataset, rows, calibrated, outside)
    rules = rules_tables(answers, fitted, bundle, params)
    table = per_class_table(answers)
    measures = measure(answers, table) | measure_confidence(raw, answers, params, fitted.decision)
    measures |= measure_without_leaks(answers) | measure_groups(answers)
    measures |= set_measures(rules["prediction_sets"])
    measures |= outside_measures(answers, fitted.decision, rules["outside"])
    features = map_features(bundle, answers)
    measures["knn_accuracy"] = features.accuracy
    slices = slices_table(answers, params.slices)
    if (worst := worst_slice(slices)) is not None:
        measures["worst_slice"] = float(worst["accuracy"])
    evaluation = Evaluation(
        measures,
        bootstrap(answers.predicted, answers.labels, len(table)),
        confused_pairs_table(answers, params.confused_pairs),
        len(rows),
        len(rows) / seconds,
        dataset.missing_classes("test"),
        slices,
        columns_without_slice(answers, params.slices),
        rules,
    )
    decision = fitted.decision.model_copy(update={"model": bundle.digest})
    write_evaluation(evaluation, answers, table, decision, results)
    write_table(results / "feature_map.csv", features.table)
    write_confidence_charts(raw, answers, params, results)
    write_png(confident_mistakes(answers, bundle), results / "confident_mistakes.png")
    write_png(least_confident_correct(answers, bundle), results / "least_confident_correct.png")
    write_json(models / DECISION, decision.model_dump())
    save_outside(fitted.score, models / OUTSIDE_FILE, bundle.digest)
    return evaluation


def write_evaluation(
    evaluation: Evaluation,
    answers: Answers,
    per_class: pd.DataFrame,
    decision: Decision,
    results: Path,
) -> None:
    """Write the measures, the predictions and the classes to `results`."""
    measures = evaluation.measures
    metrics = {name: measures[name] for name in METRICS if name in measures}
    recalls = {"recall": per_class["recall"].to_numpy()}
    write_report(results, answers, metrics, per_class, recalls, decision=decision)
    write_table(results / "measures.csv", measures_table(measures, evaluation.intervals))
    write_table(results / "confused_pairs.csv", evaluation.confused_pairs)
    write_table(results / "slices.csv", evaluation.slices)
    for name, table in evaluation.rules.items():
        write_table(results / f"{name}.csv", table)


def write_confidence_charts(
    raw: Answers, answers: Answers, params: EvaluateParams, results: Path
) -> None:
    """Write the reliability diagram, and the risk-coverage curve with its table."""
    parts = {
        "before temperature scaling": reliability_of(raw, params),
        "after": reliability_of(answers, params),
    }
    write_png(reliability_figure(parts), results / "reliability.png")
    curve = risk_coverage_curve(answers.confidence, answers.right)
    write_table(results / "coverage.csv", coverage_table(curve))
    write_png(coverage_figure(curve, params.reject_below), results / "coverage.png")
