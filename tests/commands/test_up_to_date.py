"""What commands say of outdated data and results, as DVC itself finds them (seen with DVC 3.67)."""

import re
import shutil
import sys
from importlib import import_module
from pathlib import Path

import pytest
from builders.clones import Clone
from builders.library import edited

from classifier.commands.shared.up_to_date import (
    check_up_to_date,
    note_outdated,
    outdated_stages,
)
from classifier.core.errors import UserError

pytestmark = pytest.mark.xdist_group("origin")
READ = ("split", "backbone")


@pytest.fixture(scope="module")
def clone(origin: Clone, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    return origin.copied(tmp_path_factory.mktemp("outdated") / "project")


@pytest.fixture
def project(clone: Clone, monkeypatch: pytest.MonkeyPatch) -> Clone:
    """The clone as it was committed, and the current folder."""
    clone.run("git", "checkout", "--quiet", ".")
    clone.dvc("checkout", "--quiet", "--force")
    monkeypatch.chdir(clone.folder)
    return clone


def test_nothing_is_said_after_a_run(project: Clone, capfd: pytest.CaptureFixture[str]) -> None:
    check_up_to_date(*READ)
    note_outdated()
    assert capfd.readouterr() == ("", "")


def test_data_of_other_params_are_refused_and_stay_as_they_are(project: Clone) -> None:
    project.set_params(stored_size="9")
    before = project.hashes()
    sentence = r"would run split: run `dvc repro split backbone` first\.$"
    with pytest.raises(UserError, match=sentence):
        check_up_to_date(*READ)
    assert project.hashes() == before


@pytest.mark.parametrize("command", ["lr-find", "cross-validate", "sweep"])
def test_commands_that_train_on_the_data_end_with_the_sentence(
    project: Clone, command: str
) -> None:
    project.set_params(stored_size="9")
    process = project.start(sys.executable, "-m", "classifier", command)
    out, error = process.communicate()
    assert (process.returncode, out) == (1, "")
    assert error.startswith("error: params.yaml, images or code have changed since the last run")
    assert error.endswith("run `dvc repro split backbone` first.\n")


@pytest.mark.parametrize(
    "arguments", ["gallery 7", "label-errors", "label-next .", "review", "robustness"]
)
def test_commands_about_the_last_model_ask_whether_it_is_outdated(
    arguments: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Asked(Exception):  # noqa: N818 - it ends the command here
        pass

    def ask(*stages: str) -> None:
        raise Asked(*stages)

    command, *rest = arguments.split()
    module = import_module(f"classifier.commands.{command.replace('-', '_')}")
    monkeypatch.setattr(module, "note_outdated", ask)
    with pytest.raises(Asked, match=r"^train$"):
        module.main(rest)


def test_data_of_other_images_are_refused(project: Clone) -> None:
    labels = Path("data/raw/labels.csv")
    lines = labels.read_bytes().splitlines(keepends=True)
    labels.unlink()  # a link to DVC's cache
    labels.write_bytes(b"".join(lines[:-1]))
    assert outdated_stages(*READ) == ["download", "split"]


def test_params_and_code_of_later_stages_do_not_matter(project: Clone) -> None:
    project.set_params(epochs="7")
    with edited(Path("classifier/evaluation/evaluate.py")):
        check_up_to_date(*READ)
        assert outdated_stages() == ["train", "evaluate", "tta_evaluate"]


def test_what_was_not_pulled_or_lies_on_another_machine_does_not_matter(
    project: Clone, tmp_path: Path
) -> None:
    shutil.rmtree("data/raw")
    check_up_to_date(*READ)
    project.set_params(watch=str(tmp_path / "watched"))
    (tmp_path / "watched").write_bytes(b"")
    project.dvc("repro", "--quiet", *READ)
    (tmp_path / "watched").unlink()
    check_up_to_date(*READ)


def test_data_that_are_missing_and_outdated_are_refused_with_the_same_sentence(
    project: Clone,
) -> None:
    shutil.rmtree("data/raw")
    project.set_params(stored_size="9")
    with pytest.raises(UserError, match=r"would run split: run `dvc repro split backbone` first"):
        check_up_to_date(*READ)
    with edited(Path("classifier/sources/fetch.py")):
        assert outdated_stages(*READ) == ["split"]


def test_summary_names_a_report_that_is_older_than_the_evaluation(project: Clone) -> None:
    project.set_params(calibration_bins="8")
    project.dvc("repro", "--quiet", "evaluate")
    said = project.run(sys.executable, "-m", "classifier", "summary")
    assert re.search(r"^note: .*`dvc repro` would run at least report$", said, re.MULTILINE)


def test_outside_of_a_project_nothing_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert outdated_stages(*READ) == []
    Path("dvc.yaml").write_text("stages: {}\n", "utf-8")
    assert outdated_stages(*READ) == []


def test_where_dvc_cannot_say_there_is_a_sentence(
    project: Clone, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("dvc.lock").write_text("stages:\n<<<<<<< HEAD\n  train: {}\n=======\n", "utf-8")
    with pytest.raises(UserError, match=r"^DVC cannot say what is up to date: .*dvc\.lock"):
        check_up_to_date(*READ)
    note_outdated()
    assert capsys.readouterr().out.startswith("note: DVC cannot say what is up to date: ")
