"""What the export stage tells of its files: tables, numbers, and what travels beside the models."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from classifier.export.formats import INT8_NAME, ONNX, Agreement
from classifier.export.int8_search import Search
from classifier.inference.golden import EXPECTED, IMAGES, golden_content
from classifier.inference.manifest import Entry, describe
from classifier.inference.onnx_runtime import Predictor
from classifier.processing.softmax import probabilities

# Of a probability. Float kernels differ in rounding; those of eight bits round each layer.
_TOLERANCE, _INT8_TOLERANCE = 0.001, 0.1


class Exported(NamedTuple):
    """A file that is published, how to run it, and how it agrees with PyTorch on the test split."""

    name: str
    file: str
    content: bytes
    predict: Predictor
    agreement: Agreement


def formats_table(exported: list[Exported]) -> pd.DataFrame:
    """A row for each file."""
    return pd.DataFrame(
        {
            "format": one.name,
            "file": one.file,
            "megabytes": len(one.content) / 1e6,
            **{key: round(value, 8) for key, value in one.agreement._asdict().items()},
            "sha256": describe(one.content, one.name).sha256,
        }
        for one in exported
    )


def attempts_table(search: Search) -> pd.DataFrame:
    """A row for each attempt at eight bits, with what it cost on the validation split."""
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


def export_metrics(exported: list[Exported], search: Search) -> dict[str, float]:
    """What tells one run's export from another's; the rest stands in the tables."""
    by_name = {one.name: one for one in exported}
    onnx = by_name[ONNX.name]
    metrics = {
        "onnx_accuracy": onnx.agreement.accuracy,
        "onnx_max_logit_difference": onnx.agreement.max_logit_difference,
        "onnx_megabytes": len(onnx.content) / 1e6,
    }
    if search.chosen is not None:
        int8 = by_name[INT8_NAME]
        metrics |= {
            "int8_accuracy": int8.agreement.accuracy,
            "int8_top1_agreement": int8.agreement.top1_agreement,
            "int8_val_accuracy_drop": search.chosen.drop,
            "int8_megabytes": len(int8.content) / 1e6,
        }
    return {key: round(value, 8) for key, value in metrics.items()}


def golden_answers(
    exported: list[Exported], images: np.ndarray, classes: list[str], temperature: float
) -> dict[str, Any]:
    """What `golden.json` holds: the answers of each file to the golden images."""
    answers = {one.file: probabilities(one.predict(images), temperature) for one in exported}
    return golden_content(classes, temperature, answers)


def entries_of(
    exported: list[Exported], others: dict[str, bytes], input_size: int, classes: int
) -> dict[str, Entry]:
    """The manifest's entries: of the models, and of the files that travel beside them."""
    formats = {IMAGES: "NumPy array", EXPECTED: "JSON"}
    entries = {
        one.file: describe(
            one.content,
            one.name,
            takes=f"uint8 ({_batch(one)}, {input_size}, {input_size}, 3), RGB",
            gives=f"float32 ({_batch(one)}, {classes}), logits",
            tolerance=_INT8_TOLERANCE if one.name == INT8_NAME else _TOLERANCE,
        )
        for one in exported
    }
    return entries | {
        file: describe(content, formats.get(file, "JSON")) for file, content in others.items()
    }


def _batch(one: Exported) -> str:
    return "1" if one.name == "executorch" else "N"
