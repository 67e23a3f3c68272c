"""Judge the trained model by the test split, each image shown as in validation."""

import time
from pathlib import Path

import pandas as pd
from pydantic import Field

from classifier.core.config import Params, load_section
from classifier.core.processes import run_program
from classifier.core.timing import write_timing
from classifier.evaluation.answer_report import (
    confused_pairs_table,
    measures_table,
    per_class_table,
    write_report,
    write_table,
)
from classifier.evaluation.answers import Answers, load_trained
from classifier.evaluation.calibration_report import (
    coverage_figure,
    coverage_table,
    reliability_figure,
)
from classifier.evaluation.galleries import confident_mistakes, doubtful_hits
from classifier.metrics.calibration import coverage_curve, reliability
from classifier.metrics.classification import balanced_accuracy, cross_entropy, top_accuracy
from classifier.metrics.intervals import Interval, bootstrap
from classifier.models.devices import choose_device, make_deterministic
from classifier.models.prediction import predict_logits
from classifier.plotting.figures import write_png
from classifier.processing.softmax import probabilities
from classifier.processing.views import named_view

DATA, MODELS, RESULTS = Path("data/split"), Path("models"), Path("results/evaluate")
PAIRS_PRINTED = 3
# What stands in metrics.json, a row of `dvc exp show`; the rest is in measures.csv.
METRICS = (
    "accuracy",
    "macro_f1",
    "balanced_accuracy",
    "top3_accuracy",
    "log_loss",
    "ece",
    "coverage",
    "answered_accuracy",
)


class EvaluateParams(Params):
    """Section `evaluate`."""

    batch_size: int = Field(ge=1)
    calibration_bins: int = Field(ge=1)
    reject_below: float | None = Field(ge=0, le=1)
    confused_pairs: int = Field(ge=0)


def main() -> None:
    started = time.perf_counter()
    params = load_section("evaluate", EvaluateParams)
    make_deterministic()
    bundle, dataset = load_trained(MODELS, DATA, choose_device())
    rows = dataset.rows("test")
    view = named_view("identity", bundle.spec.stored_size, bundle.spec.input_size)
    asked = time.perf_counter()
    logits = predict_logits(
        bundle.model, dataset.images, rows, [view], batch_size=params.batch_size
    )
    speed = len(rows) / (time.perf_counter() - asked)
    raw = Answers(dataset, rows, probabilities(logits[0], 1.0))
    answers = Answers(dataset, rows, probabilities(logits[0], bundle.spec.temperature))
    table = per_class_table(answers)
    values = measure(answers, table) | write_confidence(raw, answers, params)
    values |= measure_without_leaks(answers)
    intervals = bootstrap(answers.predicted, answers.labels, len(table))
    write_table(RESULTS / "measures.csv", measures_table(values, intervals))
    metrics = {name: values[name] for name in METRICS if name in values}
    recalls = {"recall": table["recall"].to_numpy()}
    write_report(RESULTS, answers, metrics, table, recalls, reject_below=params.reject_below)
    pairs = confused_pairs_table(answers, params.confused_pairs)
    write_table(RESULTS / "confused_pairs.csv", pairs)
    write_png(confident_mistakes(answers, bundle), RESULTS / "confident_mistakes.png")
    write_png(doubtful_hits(answers, bundle), RESULTS / "doubtful_hits.png")
    write_timing("evaluate", started, images_per_second=round(speed, 1))
    print("\n".join(describe(values, intervals, len(rows))))
    most = pairs.head(PAIRS_PRINTED)
    for actual, predicted, count, share in most.itertuples(index=False, name=None):
        print(f"  {actual} taken for {predicted}: {count} of its images, {share:.1%}")


def measure(answers: Answers, table: pd.DataFrame) -> dict[str, float]:
    """How good the answers are; top 3 and top 5 only where there are more classes than that.

    table: `per_class_table` of the answers.
    """
    given, labels = answers.probabilities, answers.labels
    return {
        "accuracy": float(answers.right.mean()),
        "macro_f1": float(table["f1"].mean()),
        "balanced_accuracy": balanced_accuracy(answers.predicted, labels),
        **{
            f"top{best}_accuracy": top_accuracy(given, labels, best)
            for best in (3, 5)
            if len(table) > best
        },
    }


def measure_without_leaks(answers: Answers) -> dict[str, float]:
    """`accuracy_without_leaks`: of the test images that have no duplicate in training.

    Nothing where all or none of them have one.
    """
    leaked = answers.dataset.leaked("test")
    if leaked.all() or not leaked.any():
        return {}
    return {
        "accuracy_without_leaks": float(answers.right[~leaked].mean()),
        "leaked_share": float(leaked.mean()),
    }


def write_confidence(raw: Answers, answers: Answers, params: EvaluateParams) -> dict[str, float]:
    """Measure how far the confidence can be believed, and draw it.

    raw, answers: before and after calibration. Of the images that `evaluate.reject_below` leaves,
    `coverage` is the share and `answered_accuracy` the accuracy, missing where none is left.
    """
    before, after = (
        reliability(of.probabilities, of.labels, params.calibration_bins) for of in (raw, answers)
    )
    parts = {"before calibration": before, "after": after}
    write_png(reliability_figure(parts), RESULTS / "reliability.png")
    curve = coverage_curve(answers.confidence, answers.right)
    write_table(RESULTS / "coverage.csv", coverage_table(curve))
    write_png(coverage_figure(curve, params.reject_below), RESULTS / "coverage.png")
    values = {
        "log_loss": cross_entropy(answers.probabilities, answers.labels),
        "log_loss_uncalibrated": cross_entropy(raw.probabilities, raw.labels),
        "ece": after.calibration_error,
        "ece_uncalibrated": before.calibration_error,
        "coverage_area": curve.area,
    }
    if params.reject_below is not None:
        answered = answers.confidence >= params.reject_below
        values["coverage"] = float(answered.mean())
        if answered.any():
            values["answered_accuracy"] = float(answers.right[answered].mean())
    return values


def describe(values: dict[str, float], intervals: dict[str, Interval], images: int) -> list[str]:
    """The most important measures, in lines."""
    accuracy, f1 = values["accuracy"], values["macro_f1"]
    lines = [
        f"accuracy {accuracy:.4f} on {images} test images (95% {intervals['accuracy']}), "
        f"macro F1 {f1:.4f} (95% {intervals['macro_f1']})",
        f"calibration error from {values['ece_uncalibrated']:.4f} to {values['ece']:.4f}, "
        f"log loss from {values['log_loss_uncalibrated']:.4f} to {values['log_loss']:.4f} by the "
        "temperature",
    ]
    if "leaked_share" in values:
        lines.append(
            f"accuracy {values['accuracy_without_leaks']:.4f} without the "
            f"{values['leaked_share']:.1%} of the test images that have duplicates in training"
        )
    if "coverage" in values:
        accuracy = values.get("answered_accuracy")
        among = "" if accuracy is None else f", with accuracy {accuracy:.4f}"
        lines.append(f"{values['coverage']:.1%} of the images are answered{among}")
    return lines


if __name__ == "__main__":
    run_program(main)
