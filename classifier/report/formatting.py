"""Format numbers and names for people, the same in the report and in the model card."""

from collections.abc import Iterator, Sequence
from typing import Any

from classifier.report.result_files import Row

# With fewer test images of a class than this, its 95% intervals are about 0.3 wide.
FEW_TEST_IMAGES = 30
_MEASURES = {
    "macro_f1": "macro F1",
    "log_loss_uncalibrated": "log loss before calibration",
    "ece": "expected calibration error",
    "ece_uncalibrated": "expected calibration error before calibration",
    "coverage": "share of images that are answered",
    "answered_accuracy": "accuracy of the answered images",
    "groups_per_image": "groups of test images by the number of images",
    "set_coverage": "share of prediction sets that hold the true class",
    "set_size": "mean number of classes in a prediction set",
    "refused_share": "share of images that are refused as none of the classes",
    "outside_auroc": "AUROC of images of a class that is left out",
    "max_softmax_auroc": "the same by maximum softmax",
    "worst_slice": "accuracy on the worst slice",
    "knn_accuracy": "accuracy of the nearest training images",
    "aurc": "area under the risk-coverage curve",
}
# Values of knobs that change nothing.
_OFF = (None, False, 0, 0.0, "none", [])


def measure_name(name: str) -> str:
    """Return the name of a measure in words: `top3_accuracy` is `top-3 accuracy`."""
    return _MEASURES.get(name, name.replace("top", "top-").replace("_", " "))


def fraction(value: str | float) -> str:
    """Format with four decimals; an empty cell stays empty."""
    return "" if value == "" else f"{float(value):.4f}"


def with_interval(row: Row, name: str) -> str:
    """Format a column with two decimals, and its interval where it has one; empty stays empty."""
    value, low, high = (
        row[column] and f"{float(row[column]):.2f}"
        for column in (name, f"{name}_low", f"{name}_high")
    )
    return f"{value} ({low} to {high})" if low else value


def interval(row: Row) -> str:
    """Format the interval of a row of `measures.csv`; empty where it has none."""
    return f"{fraction(row['low'])} to {fraction(row['high'])}" if row["low"] else ""


def knobs_that_count(
    params: dict[str, Any], idle: Sequence[str] = (), prefix: str = ""
) -> Iterator[tuple[str, str]]:
    """Yield the full name and the value of every parameter that is not off, and of the seed.

    idle: names of parameters and groups that are left out.
    """
    for name, value in params.items():
        if f"{prefix}{name}" in idle:
            continue
        if isinstance(value, dict):
            yield from knobs_that_count(value, idle, f"{prefix}{name}.")
        elif name == "seed" or value not in _OFF:
            yield f"{prefix}{name}", str(value)


def few_test_images(per_class: list[Row]) -> list[Row]:
    """Return the classes with fewer than FEW_TEST_IMAGES, those with the fewest first."""
    few = [row for row in per_class if int(row["test"]) < FEW_TEST_IMAGES]
    return sorted(few, key=lambda row: int(row["test"]))
