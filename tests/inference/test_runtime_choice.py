import json
from argparse import Namespace
from pathlib import Path

import pytest
from builders.colours import write_models

from classifier.commands.shared.model_options import settle_runtime
from classifier.inference import runtime_choice
from classifier.inference.onnx_runtime import INT8_FILE, ONNX_FILE
from classifier.inference.runtime_choice import choose_runtime

pytest.importorskip("openvino", reason="needs the extra openvino")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLASSIFIER_CACHE", str(tmp_path))
    return tmp_path / "runtimes"


def measured(monkeypatch: pytest.MonkeyPatch, onnx: float, openvino: float) -> None:
    seconds = {"onnx": [onnx], "openvino": [openvino]}
    monkeypatch.setattr(runtime_choice, "seconds_in_turn", lambda *_: seconds)


@pytest.mark.parametrize(
    ("seconds", "faster"),
    [((0.004, 0.002), "openvino"), ((0.004, 0.003999), "onnx"), ((0.002, 0.004), "onnx")],
)
def test_runtime_that_is_clearly_faster_is_chosen(
    models: Path, monkeypatch: pytest.MonkeyPatch, seconds: tuple[float, float], faster: str
) -> None:
    measured(monkeypatch, *seconds)
    choice = choose_runtime(models / "export", ONNX_FILE, 1)
    assert choice.runtime == faster
    assert f"{1000 * seconds[1]:.2f} ms with OpenVINO" in choice.reason


def test_choice_is_remembered_with_its_figures_for_each_file_alone(
    models: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured(monkeypatch, 0.004, 0.002)
    first = choose_runtime(models / "export", ONNX_FILE, 1)
    measured(monkeypatch, 0.002, 0.004)
    assert choose_runtime(models / "export", ONNX_FILE, 1) == first
    assert [json.loads(path.read_text()) for path in cache.iterdir()] == [first._asdict()]
    assert choose_runtime(models / "export", INT8_FILE, 1).runtime == "onnx"
    assert choose_runtime(models / "export", ONNX_FILE, 2).runtime == "onnx"


def test_choice_is_remembered_for_one_kind_of_processor(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured(monkeypatch, 0.004, 0.002)
    choose_runtime(models / "export", ONNX_FILE, 1)
    measured(monkeypatch, 0.002, 0.004)
    monkeypatch.setattr(runtime_choice, "cpu_kind", lambda: "another")
    assert choose_runtime(models / "export", ONNX_FILE, 1).runtime == "onnx"


def test_both_runtimes_are_really_measured(models: Path) -> None:
    reason = choose_runtime(models / "export", ONNX_FILE, 1).reason
    assert reason.startswith("one image takes ")


def test_openvino_that_answers_otherwise_is_not_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured(monkeypatch, 0.004, 0.002)
    models = write_models(tmp_path / "wrong", golden_error=0.2)
    choice = choose_runtime(models / "export", ONNX_FILE, 1)
    assert choice.runtime == "onnx"
    assert choice.reason.startswith("OpenVINO does not answer as expected: 3 golden images")


def test_openvino_that_is_not_installed_is_not_chosen(
    models: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_choice, "_version", {"onnxruntime": "1"}.get)
    choice = choose_runtime(models / "export", ONNX_FILE, 1)
    assert choice == ("onnx", "OpenVINO is not installed")
    assert not cache.exists()


def options(models: Path, runtime: str = "auto") -> Namespace:
    return Namespace(models=models, runtime=runtime, int8=False)


@pytest.mark.parametrize(
    ("runtime", "images", "settled"),
    [
        ("auto", None, "openvino"),
        ("auto", 1000, "openvino"),
        ("auto", 3, "onnx"),
        ("onnx", None, "onnx"),
        ("openvino", 3, "openvino"),
    ],
)
def test_a_server_and_many_images_get_the_faster_runtime_unless_told(
    models: Path,
    monkeypatch: pytest.MonkeyPatch,
    runtime: str,
    images: int | None,
    settled: str,
) -> None:
    measured(monkeypatch, 0.004, 0.002)
    chosen = options(models, runtime)
    settle_runtime(chosen, images)
    assert chosen.runtime == settled


def test_where_there_is_no_export_the_loader_says_so(tmp_path: Path) -> None:
    chosen = options(tmp_path / "nothing")
    settle_runtime(chosen)
    assert chosen.runtime == "onnx"
