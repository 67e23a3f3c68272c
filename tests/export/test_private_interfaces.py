"""Private interfaces of other libraries that the export uses, each behind one function."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from builders.tiny import tiny_model
from onnxruntime.quantization import CalibrationMethod, create_calibrator
from onnxruntime.quantization.calibrate import CalibrationDataReader

from classifier.export.onnx_export import to_onnx
from classifier.export.quantization import use_threads
from classifier.export.torch_export import copy_records
from classifier.inference.onnx_runtime import plain_session


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_records_of_a_torch_archive_are_copied_by_name() -> None:
    """Seen with PyTorch 2.15.0: a copy without one record still loads."""
    layer, archive = torch.nn.Linear(3, 2).eval(), io.BytesIO()
    torch.jit.save(torch.jit.trace(layer, torch.zeros(1, 3)), archive)
    copy = copy_records(archive, lambda name: not name.endswith(".debug_pkl"))
    assert b".debug_pkl" in archive.getvalue()
    assert b".debug_pkl" not in copy
    given = torch.ones(1, 3)
    loaded = torch.jit.load(io.BytesIO(copy))
    assert torch.equal(loaded(given), layer(given))


class Images(CalibrationDataReader):
    """One batch."""

    def __init__(self) -> None:
        self.batches = iter([{"images": np.zeros((2, 8, 8, 3), np.uint8)}])

    def get_next(self) -> dict[str, np.ndarray]:
        return next(self.batches, {})


@pytest.mark.parametrize("method", ["MinMax", "Percentile", "Entropy"])
def test_calibrator_runs_the_session_that_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Seen with ONNX Runtime 1.31.1: calibration runs `infer_session`, whichever it is."""
    path, augmented = tmp_path / "model.onnx", tmp_path / "augmented.onnx"
    onnx.save(onnx.load_from_string(to_onnx(tiny_model(), 8)), path)
    calibrator = create_calibrator(
        path, augmented_model_path=str(augmented), calibrate_method=CalibrationMethod[method]
    )
    session = plain_session(augmented.read_bytes(), 1)
    run, asked = session.run, []

    def count(*arguments: Any) -> Any:
        asked.append(arguments)
        return run(*arguments)

    monkeypatch.setattr(session, "run", count)
    use_threads(calibrator, session)
    calibrator.collect_data(Images())
    assert asked
