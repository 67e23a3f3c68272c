"""Judge the trained model by the test split, each picture shown as in validation."""

import time
from pathlib import Path

import pandas as pd
from pydantic import Field

from classifier.config import Params, load_section
from classifier.devices import choose_device, make_deterministic
from classifier.errors import run_program
from classifier.evaluation import Answers, load_trained
from classifier.evaluation_report import (
    confused_pairs_table,
    per_class_table,
    write_report,
    write_table,
)
from classifier.metrics import (
    balanced_accuracy,
    cross_entropy,
    expected_calibration_error,
    top_accuracy,
)
from classifier.prediction import predict_logits
from classifier.runtime import write_timing
from classifier.softmax import probabilities
from classifier.views import named_view

DATA, MODELS, RESULTS = Path("data/split"), Path("models"), Path("results/evaluate")
PAIRS_PRINTED = 3


class EvaluateParams(Params):
    """Section `evaluate`."""

    batch_size: int = Field(ge=1)
    calibration_bins: int = Field(ge=1)
    confused_pairs: int = Field(ge=0)


def main() -> None:
    started = time.perf_counter()
    params = load_section("evaluate", EvaluateParams)
    make_deterministic()
    bundle, dataset = load_trained(MODELS, DATA, choose_device())
    rows = dataset.rows("test")
    view = named_view("identity", bundle.spec.image_size, bundle.spec.crop)
    asked = time.perf_counter()
    logits = predict_logits(
        bundle.model, dataset.images, rows, [view], batch_size=params.batch_size
    )
    speed = len(rows) / (time.perf_counter() - asked)
    answers = Answers(dataset, rows, probabilities(logits[0], bundle.spec.temperature))
    table = per_class_table(answers)
    metrics = measure(answers, table, params.calibration_bins)
    write_report(RESULTS, answers, metrics, table, {"recall": table["recall"].to_numpy()})
    pairs = confused_pairs_table(answers, params.confused_pairs)
    write_table(RESULTS / "confused_pairs.csv", pairs)
    write_timing("evaluate", started, images_per_second=round(speed, 1))
    print(f"accuracy {metrics['accuracy']:.4f} on {len(rows)} test pictures")
    most = pairs.head(PAIRS_PRINTED)
    for actual, predicted, count, share in most.itertuples(index=False, name=None):
        print(f"  {actual} taken for {predicted}: {count} of its pictures, {share:.1%}")


def measure(answers: Answers, table: pd.DataFrame, calibration_bins: int) -> dict[str, float]:
    """The stage's metrics; top 3 and top 5 only where there are more classes than that.

    table: `per_class_table` of the answers.
    """
    given, labels = answers.probabilities, answers.labels
    return {
        "accuracy": float(answers.right.mean()),
        **{
            f"top{best}_accuracy": top_accuracy(given, labels, best)
            for best in (3, 5)
            if len(table) > best
        },
        "macro_f1": float(table["f1"].mean()),
        "balanced_accuracy": balanced_accuracy(answers.predicted, labels),
        "log_loss": cross_entropy(given, labels),
        "ece": expected_calibration_error(given, labels, calibration_bins),
    }


if __name__ == "__main__":
    run_program(main)
