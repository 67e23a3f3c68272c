"""Tables and numbers about exported files."""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from classifier.export.formats import INT8_NAME, ONNX, Agreement
from classifier.export.int8_search import Search
from classifier.inference.manifest import file_entry
from classifier.inference.onnx_runtime import Predictor


class Exported(NamedTuple):
    """A file that is published, how to run it, and how it agrees with PyTorch on the test split."""

    name: str
    file: str
    content: bytes
    predict: Predictor
    agreement: Agreement

    def __str__(self) -> str:
        """Describe it in a line for the console."""
        return f"{self.file}: {self.agreement}, {len(self.content) / 1e6:.1f} MB"


class LeftOut(NamedTuple):
    """A format that this model could not be written in, and why."""

    name: str
    file: str
    reason: str

    def __str__(self) -> str:
        """Describe it in a line for the console."""
        return f"warning: {self.file} is left out: {self.reason}"


def formats_table(exported: list[Exported], left_out: Sequence[LeftOut] = ()) -> pd.DataFrame:
    """Return a row for each exported file, and for each format that was left out."""
    rows = [
        {
            "format": one.name,
            "file": one.file,
            "megabytes": len(one.content) / 1e6,
            **{
                key: value if value is None else round(value, 8)
                for key, value in one.agreement._asdict().items()
            },
            "sha256": file_entry(one.content, one.name).sha256,
            "left_out": "",
        }
        for one in exported
    ]
    missing = [{"format": one.name, "file": one.file, "left_out": one.reason} for one in left_out]
    return pd.DataFrame([*rows, *missing])


def attempts_table(search: Search) -> pd.DataFrame:
    """Return a row for each attempt at eight bits, with what it loses on the validation split."""
    rows = [
        {
            "calibration": attempt.calibration,
            "excluded_layers": " ".join(attempt.excluded),
            "val_accuracy": round(attempt.accuracy, 8),
            "val_accuracy_drop": round(attempt.drop, 8),
            "megabytes": len(attempt.content) / 1e6,
            "published": attempt is search.chosen,
        }
        for attempt in search.attempts
    ]
    columns = ["calibration", "excluded_layers", "val_accuracy", "val_accuracy_drop"]
    return pd.DataFrame(rows, columns=[*columns, "megabytes", "published"])


def export_metrics(exported: list[Exported]) -> dict[str, float]:
    """Return the few numbers that tell one run's export from another's.

    Those of the eight-bit file are left out where none is published. The tables have the rest.
    """
    metrics = {}
    for one in exported:
        if one.name == INT8_NAME:
            metrics["int8_accuracy"] = one.agreement.accuracy
        if one.name in (ONNX.name, INT8_NAME):
            metrics[f"{one.name}_megabytes"] = len(one.content) / 1e6
    return {key: round(value, 8) for key, value in metrics.items()}
