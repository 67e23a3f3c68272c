"""How an exported file is measured on the validation split."""

from pathlib import Path

import numpy as np
import pytest
from builders.tiny import tiny_bundle, write_split

from classifier.core.errors import UserError
from classifier.export.export_report import Exported
from classifier.export.formats import measure_agreement
from classifier.export.reference import Reference, check_agreement
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


@pytest.mark.parametrize("scores", [None, [0.5, np.nan], [0.5, 0.2]])
def test_file_without_the_outside_scores_of_the_model_is_refused(
    scores: list[float] | None,
) -> None:
    logits = np.eye(2, dtype=np.float32)
    given = Outputs(logits, None if scores is None else np.array(scores, np.float32))
    expected = Outputs(logits, np.array([0.5, 0.1], np.float32))
    agreement = measure_agreement(given, expected, np.arange(2), outside_above=1.0)
    one = Exported("onnx", "model.onnx", b"", lambda _images: given, agreement)
    with pytest.raises(UserError, match="in an outside score"):
        check_agreement(one, 0.001, 1.0)
