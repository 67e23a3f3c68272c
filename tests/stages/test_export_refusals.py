from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders.exports import make_export_project, run_in
from builders.tiny import write_project
from torch.onnx.errors import OnnxExporterError

from classifier.core.errors import UserError
from classifier.export import export_model
from classifier.export.export_report import Exported
from classifier.export.formats import ONNX, TORCHSCRIPT, Agreement
from classifier.export.reference import check_agreement
from classifier.inference.onnx_runtime import Outputs, Predictor


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        (
            "decision.json",
            None,
            r"decision\.json is missing: run the evaluate stage, or fetch it with `dvc pull`",
        ),
        ("tta.json", None, r"tta\.json is missing: run the tta_evaluate stage"),
        (
            "decision.json",
            '{"reject_below": 1.5}',
            r"decision\.json is damaged \(reject_below: .*1",
        ),
        ("decision.json", "{", r"decision\.json is damaged .*run the evaluate stage again"),
        ("tta.json", '{"views": [], "merge": "probabilities"}', r"tta\.json is damaged \(views"),
        ("decision.json", '{"reject_below": 0.5}', r"decision\.json was made for another model"),
    ],
)
def test_missing_or_damaged_decision_stops_the_stage_with_a_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    file: str,
    content: str | None,
    sentence: str,
) -> None:
    folder = make_export_project(tmp_path)
    (folder / "models" / file).unlink()
    if content is not None:
        (folder / "models" / file).write_text(content)
    with pytest.raises(UserError, match=sentence):
        run_in(folder, monkeypatch)


def test_file_that_disagrees_fails_the_stage_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_and_differ(content: bytes) -> Predictor:
        predict = TORCHSCRIPT.load(content)

        def differ(images: np.ndarray) -> Outputs:
            return Outputs(predict(images).logits + np.float32(0.25))

        return differ

    folder = make_export_project(tmp_path, max_logit_difference=0.2)
    wrong = TORCHSCRIPT._replace(load=load_and_differ)
    monkeypatch.setattr(export_model, "chosen_formats", lambda names: [wrong])
    with pytest.raises(UserError) as caught:
        run_in(folder, monkeypatch)
    sentence = str(caught.value)
    assert "model.torchscript.pt differs" in sentence
    assert "0.25" in sentence
    assert "export.max_logit_difference allows 0.2" in sentence
    assert not (folder / "models/export").exists()
    assert not (folder / "results").exists()


def refuse(*_: object) -> bytes:
    raise TypeError("this network cannot be traced\nmore")


def test_file_with_similarities_in_another_order_fails_the_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_and_mix_up(content: bytes) -> Predictor:
        predict = ONNX.load(content)

        def mixed_up(images: np.ndarray) -> Outputs:
            given = predict(images)
            assert given.similarity is not None
            return given._replace(similarity=given.similarity[:, ::-1])

        return mixed_up

    folder = make_export_project(tmp_path, similar_images=5)
    wrong = ONNX._replace(load=load_and_mix_up)
    monkeypatch.setattr(export_model, "chosen_formats", lambda names: [wrong])
    with pytest.raises(UserError, match=r"model\.onnx gives other similarities"):
        run_in(folder, monkeypatch)
    assert not (folder / "models/export").exists()


def test_format_that_cannot_hold_the_model_is_left_out_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_export_project(tmp_path)
    formats = [ONNX, TORCHSCRIPT._replace(write=refuse)]
    monkeypatch.setattr(export_model, "chosen_formats", lambda names: formats)
    run_in(folder, monkeypatch)
    table = pd.read_csv(folder / "results/export/formats.csv", index_col="format")
    reason = "TypeError: this network cannot be traced"
    assert table["left_out"]["torchscript"] == reason
    assert "onnx" in table.index
    assert f"warning: model.torchscript.pt is left out: {reason}" in capsys.readouterr().out
    assert not (folder / "models/export/model.torchscript.pt").exists()


def test_network_that_onnx_cannot_hold_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_export_project(tmp_path)

    def fail(*_: object) -> bytes:
        raise OnnxExporterError("Step 1 of 3\nmore") from TypeError("it cannot be traced\nmore")

    monkeypatch.setattr(export_model, "chosen_formats", lambda names: [ONNX._replace(write=fail)])
    sentence = r"model\.onnx cannot be written \(TypeError: it cannot be traced\).+ backbone\.name"
    with pytest.raises(UserError, match=sentence):
        run_in(folder, monkeypatch)


@pytest.mark.parametrize("is_wrapped", [False, True])
@pytest.mark.parametrize("error", [MemoryError(), OSError(28, "No space left on device")])
def test_lack_of_memory_or_disk_is_not_blamed_on_the_network(
    error: Exception, is_wrapped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_export_project(tmp_path)

    def fail(*_: object) -> bytes:
        if is_wrapped:
            raise OnnxExporterError("Step 1 of 3") from error
        raise error

    monkeypatch.setattr(export_model, "chosen_formats", lambda names: [ONNX._replace(write=fail)])
    with pytest.raises(type(error)):
        run_in(folder, monkeypatch)


def test_error_that_is_not_the_exporters_keeps_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_export_project(tmp_path)
    monkeypatch.setattr(export_model, "chosen_formats", lambda names: [ONNX._replace(write=refuse)])
    with pytest.raises(TypeError, match="cannot be traced"):
        run_in(folder, monkeypatch)


@pytest.mark.parametrize("spread", [0.1, 1.0, 50.0])
def test_difference_of_logits_is_judged_by_their_spread(spread: float) -> None:
    agreement = Agreement(1.0, 1.0, 0.001 * max(1.0, spread))
    one = Exported("onnx", "model.onnx", b"", lambda images: Outputs(images, None), agreement)
    check_agreement(one, 0.001, spread)
    with pytest.raises(UserError, match="differs from the PyTorch model"):
        check_agreement(one, 0.0009, spread)


def test_missing_model_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"models/model\.json is missing: run the train stage"):
        run_in(write_project(tmp_path), monkeypatch)
