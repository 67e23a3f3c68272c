from pathlib import Path

import numpy as np
import pytest
import torch
from builders.tiny import contents, tiny_params, tiny_section, write_project

from classifier.commands import lr_find
from classifier.commands.lr_find import sentence
from classifier.commands.shared.lr_chart import draw
from classifier.core.errors import UserError
from classifier.training.checkpoint import CheckpointFolder
from classifier.training.lr_finder import Suggestion, rates, tabulate


def run_in(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.chdir(folder)
    torch.set_num_threads(1)
    lr_find.main([])


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has a model and has had no other rate than the one in params.yaml."""
    folder = write_project(tmp_path_factory.mktemp("project"))
    (folder / "models").mkdir()
    (folder / "models/model.json").write_text("{}")
    return folder


def test_program_writes_a_table_and_a_plot_beside_what_is_there_and_says_what_to_do(
    project: Path,
    own_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    CheckpointFolder("interrupted").save(1, 2, {"a": 1})
    project_before, cache_before = contents(project), contents(own_cache)
    run_in(project, monkeypatch)
    found = contents(project)
    written = {name: found.pop(name) for name in ("results/lr_finder.csv", "results/lr_finder.png")}
    assert (found, contents(own_cache)) == (project_before, cache_before)
    assert written["results/lr_finder.csv"].startswith(b"step,lr,loss,smoothed_loss\n1,1e-06,")
    assert written["results/lr_finder.png"].startswith(b"\x89PNG")
    (line,) = capsys.readouterr().out.splitlines()
    rate = float(line.split("train.optimizer.lr=")[1])
    assert line.endswith(f"try it with: dvc exp run -S train.optimizer.lr={rate:g}")
    assert rates()[0] < rate < rates()[-1]
    run_in(project, monkeypatch)
    assert {name: contents(project)[name] for name in written} == written


def test_plot_marks_both_rates_and_that_of_the_params() -> None:
    table = tabulate([2.0, 1.8, 1.0, 0.5, 0.4, 0.6, 40.0])
    (axes,) = draw(table, Suggestion(0.001, 0.02), current=0.004).axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("learning rate", "training loss")
    assert axes.get_xscale() == "log"
    marks = {str(line.get_label()): np.asarray(line.get_xdata())[0] for line in axes.lines[2:]}
    assert marks == {
        "suggestion: falls fastest (0.001)": 0.001,
        "lowest (0.02)": 0.02,
        "params.yaml (0.004)": 0.004,
    }
    # The explosion does not flatten what comes before.
    assert axes.get_ylim()[1] < 4


def test_sentence_keeps_the_proportion_of_muons_rates() -> None:
    params = tiny_params(optimizer={"name": "muon", "lr": 0.04, "aux_lr": 0.01}).optimizer
    said = sentence(Suggestion(0.02, 0.1), params)
    assert said.endswith("dvc exp run -S train.optimizer.lr=0.02 -S train.optimizer.aux_lr=0.005")


def test_missing_data_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_project(tmp_path, tiny_section())
    (folder / "data/split/images-0.npy").unlink()
    with pytest.raises(UserError, match=r"images-0\.npy is missing"):
        run_in(folder, monkeypatch)


@pytest.mark.usefixtures("restored_determinism")
def test_test_takes_operations_that_the_runtime_section_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_in(write_project(tmp_path, runtime={"deterministic": "warn"}), monkeypatch)
    assert torch.get_deterministic_debug_mode() == 1
