import io
import shutil
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from builders.projects import CLASSES, make_project, write_evaluation_params
from builders.reported import make_reported

from stages import evaluate


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with params, data and model."""
    make_project(tmp_path, CLASSES)
    monkeypatch.chdir(tmp_path)
    write_evaluation_params()
    return tmp_path


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A project after the stage with the usual params, and what the stage printed."""
    folder = tmp_path_factory.mktemp("project")
    make_project(folder, CLASSES)
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said):
        patch.chdir(folder)
        write_evaluation_params()
        evaluate.main()
    return folder, said.getvalue()


@pytest.fixture
def results(evaluated: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """What the stage printed; the current folder is its project, to be read only."""
    folder, said = evaluated
    monkeypatch.chdir(folder)
    return said


@pytest.fixture(scope="module")
def first_report(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with all that the report stage reads and writes, and the verdict on TTA."""
    folder = tmp_path_factory.mktemp("project")
    return folder, make_reported(folder)


@pytest.fixture
def reported(
    first_report: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, str]:
    """A copy of it, which is the current folder, and the verdict."""
    folder = shutil.copytree(first_report[0], tmp_path / "copy")
    monkeypatch.chdir(folder)
    return folder, first_report[1]
