from pathlib import Path

import pytest
from builders.colours import write_images, write_models
from builders.predict_program import Run


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of colours in `models`, and images of them in `photos`."""
    folder = tmp_path_factory.mktemp("project")
    write_models(folder / "models")
    write_images(folder / "photos")
    return folder


@pytest.fixture
def run(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`classifier predict` in that folder."""
    monkeypatch.chdir(project)
    return Run(monkeypatch, capsys)
