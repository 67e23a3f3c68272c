"""What is said where there is no GPU; nothing here needs one."""

from pathlib import Path

import onnxruntime
import pytest
from builders.colours import write_models

from classifier.core.errors import UserError
from classifier.inference.predict import load_model

pytestmark = pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(),
    reason="this ONNX Runtime knows GPUs",
)


def test_runtime_without_cuda_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"install onnxruntime-gpu in place of onnxruntime"):
        load_model(write_models(tmp_path), runtime="cuda")


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_processor_never_takes_the_place_of_a_gpu_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: known)
    with pytest.raises(UserError, match=r"cannot use its CUDAExecutionProvider here"):
        load_model(write_models(tmp_path), runtime="cuda")
