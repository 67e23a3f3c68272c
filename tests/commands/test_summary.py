"""`classifier summary`: the last run's metrics, and whether they are of one run."""

import json
from pathlib import Path

import pytest
import yaml

from classifier.commands import summary
from classifier.core.errors import UserError


def write_results(folder: Path, trained_on: str) -> None:
    """The results of a run whose split was made anew; train took the split of this hash."""
    stages = {
        "evaluate": {"deps": [{"path": "models", "md5": "m"}], "outs": []},
        "train": {
            "deps": [{"path": "data/split", "md5": trained_on}, {"path": "classifier", "md5": "c"}],
            "outs": [{"path": "models", "md5": "m"}],
        },
        "split": {"deps": [{"path": "classifier"}], "outs": [{"path": "data/split", "md5": "new"}]},
    }
    (folder / "dvc.lock").write_text(yaml.safe_dump({"stages": stages}), "utf-8")
    (folder / "results/evaluate").mkdir(parents=True)
    (folder / "results/evaluate/metrics.json").write_text(json.dumps({"accuracy": 0.5}), "utf-8")


def test_empty_lock_names_no_stage(tmp_path: Path) -> None:
    (tmp_path / "dvc.lock").write_bytes(b"")
    assert summary.outdated_stages(tmp_path / "dvc.lock") == []


def test_lock_with_a_conflict_of_git_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "dvc.lock").write_text("stages:\n<<<<<<< HEAD\n  train: {}\n=======\n", "utf-8")
    with pytest.raises(UserError, match=r"dvc\.lock cannot be read as YAML"):
        summary.outdated_stages(tmp_path / "dvc.lock")


@pytest.mark.parametrize("trained_on", ["new", "old"])
def test_results_of_stages_that_did_not_run_since_are_named(
    trained_on: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_results(tmp_path, trained_on)
    (tmp_path / "results/report").mkdir()
    (tmp_path / "results/report/curves.png").touch()
    monkeypatch.chdir(tmp_path)
    summary.main([])
    said = capsys.readouterr().out
    assert ("The results of train, evaluate are older" in said) is (trained_on == "old")
    assert "accuracy" in said
    assert "results/report/curves.png" in said
