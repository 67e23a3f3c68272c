"""All stages with two classes, of which none can be left out."""

import importlib
from pathlib import Path

import pytest
import yaml
from builders.images import class_folders
from builders.sources import write_files

from classifier.core.config import STAGES

ROOT = Path(__file__).parents[2]


def test_report_and_model_card_name_the_rules_that_are_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path / "pets", class_folders({"cat": 30, "dog": 30}))
    params = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))
    params["download"] |= {"source": "folder", "url": "pets", "watch": "pets"}
    params["train"]["epochs"] = 2
    params["export"] |= {"formats": ["onnx"]}
    params["export"]["int8"]["methods"] = []
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params), "utf-8")
    for stage in (*STAGES, "report"):
        importlib.import_module(f"stages.{stage}").main()
    assert "of the test images are refused" in capsys.readouterr().out
    page = Path("results/report.html").read_text("utf-8")
    assert "name a folder of some in evaluate.foreign" in page
    assert "By the rules of models/decision.json" in page
    assert "evaluate.outside_share is off" not in page
    assert "With evaluate.reject_below" not in page
    card = Path("models/MODEL_CARD.md").read_text("utf-8")
    assert "answered as `unknown`" in card
    assert "also gets one of the classes" not in card
