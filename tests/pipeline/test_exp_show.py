"""What `dvc exp show` shows without any option, after a run."""

import csv
import io
import json
from typing import Any

import pytest
import yaml
from builders.clones import ROOT, Clone

pytestmark = pytest.mark.xdist_group("origin")

FIRST = ["accuracy", "macro_f1", "ece", "worst_slice"]
FIRST += ["tta_accuracy", "val_accuracy", "val_loss"]
# Experiment, rev, typ, Created, parent.
ABOUT_THE_RUN = 5


@pytest.fixture(scope="module")
def workspace(origin: Clone) -> dict[str, Any]:
    """The workspace in `dvc exp show --json`, which VS Code's extension reads."""
    return json.loads(origin.dvc("exp", "show", "--json"))[0]["data"]


def test_test_and_validation_results_come_first(origin: Clone):
    columns = next(csv.reader(io.StringIO(origin.dvc("exp", "show", "--csv"))))
    assert columns[ABOUT_THE_RUN : ABOUT_THE_RUN + len(FIRST)] == FIRST


def test_metrics_are_few_and_their_names_need_no_path(workspace: dict[str, Any]):
    names = [name for file in workspace["metrics"].values() for name in file["data"]]
    assert len(names) == len(set(names)) <= 16


def test_dependencies_are_folders(workspace: dict[str, Any]):
    assert len(workspace["deps"]) <= 49


def test_every_stage_is_saved_in_the_run_cache(origin: Clone):
    """An uncached file under `outs` would turn it off without a word."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))["stages"].values()
    runs = (origin.folder / ".dvc/cache/runs").glob("*/*/*")
    saved = {yaml.safe_load(path.read_text("utf-8"))["cmd"] for path in runs}
    assert {stage["cmd"] for stage in stages} <= saved


@pytest.mark.parametrize("stage", ["download", "split", "train", "export"])
def test_what_draws_and_serves_makes_no_stage_stale(stage: str):
    declared = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))["stages"][stage]["deps"]
    drawing = {"plotting", "report", "serving", "commands", "sweep", "evaluation"}
    assert not {f"classifier/{package}" for package in drawing} & set(declared)
