"""How an exported file is measured on the validation split."""

from pathlib import Path

import numpy as np
import pytest
from builders.tiny import tiny_bundle, write_split

from classifier.export.reference import Reference
from classifier.inference.onnx_runtime import Outputs
from classifier.models.bundle import load_bundle
from classifier.processing.decision import Decision


@pytest.mark.parametrize(("above", "share"), [(None, 1.0), (0.5, 0.5), (0.0, 0.0)])
def test_refused_images_count_as_errors(tmp_path: Path, above: float | None, share: float) -> None:
    dataset = write_split(tmp_path / "split")
    tiny_bundle(tmp_path / "models")
    rows = dataset.rows("val")
    reference = Reference(load_bundle(tmp_path / "models"), dataset, batch_size=len(rows))

    def predict(_images: np.ndarray) -> Outputs:
        scores = np.linspace(0.1, 0.9, len(rows), dtype=np.float32)
        return Outputs(np.eye(len(dataset.classes))[dataset.labels[rows]], scores)

    found = reference.validation_accuracy(predict, Decision(reject_below=None, outside_above=above))
    assert found == pytest.approx(share, abs=0.5 / len(rows))
