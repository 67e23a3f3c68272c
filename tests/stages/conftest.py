import io
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from builders.projects import CLASSES, make_project, write_evaluation_params

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
