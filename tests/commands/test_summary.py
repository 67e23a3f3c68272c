"""`classifier summary`: the last run's metrics, and where its charts are."""

import json
from pathlib import Path

import pytest

from classifier.commands import summary


def test_metrics_and_charts_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("evaluate", "report"):
        (tmp_path / "results" / name).mkdir(parents=True)
    metrics = json.dumps({"accuracy": 0.5})
    (tmp_path / "results/evaluate/metrics.json").write_text(metrics, "utf-8")
    (tmp_path / "results/report/curves.png").touch()
    monkeypatch.chdir(tmp_path)
    summary.main([])
    said = capsys.readouterr().out
    assert "accuracy" in said
    assert "results/report/curves.png" in said
