import sys

import numpy as np
import pytest
import torch
from builders.tiny import tiny_model

from classifier.core.errors import UserError
from classifier.export.executorch_export import load_executorch, to_executorch


def test_missing_extra_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    # What stands here as None cannot be imported.
    monkeypatch.setitem(sys.modules, "executorch", None)
    with pytest.raises(UserError, match=r"export\.formats names executorch.*extra mobile"):
        to_executorch(tiny_model(), 8)
    with pytest.raises(UserError, match=r"remove executorch from export\.formats"):
        load_executorch(b"")


def test_file_for_phones_agrees_with_the_model_and_is_the_same_again() -> None:
    pytest.importorskip("executorch", reason="the extra mobile is not installed")
    model = tiny_model()
    content = to_executorch(model, 8)
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    with torch.no_grad():
        expected = model(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(load_executorch(content)(images).logits, expected, atol=1e-4)
    assert to_executorch(model, 8) == content


def test_loaded_file_needs_nobody_else_to_keep_its_content() -> None:
    pytest.importorskip("executorch", reason="the extra mobile is not installed")
    content = to_executorch(tiny_model(), 8)
    images = np.zeros((1, 8, 8, 3), np.uint8)
    expected = load_executorch(content)(images).logits
    predict = load_executorch(bytes(bytearray(content)))
    # What is made now takes the place of what nobody keeps.
    others = [bytes(len(content) - 33 + size) for size in range(0, 96, 16)]
    assert predict(images).logits.tolist() == expected.tolist()
    assert others
