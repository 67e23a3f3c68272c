"""The artifact `classifier` of dvc.yaml is a folder that works alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from builders.clones import ROOT
from builders.colours import image_of, write_models

from classifier.inference.predict import load_model


def run(folder: Path, *command: str) -> None:
    """Run a command; raises where it fails."""
    names = {f"GIT_{role}_{key}": "a@b.c" for role in ("AUTHOR", "COMMITTER") for key in KEYS}
    done = subprocess.run(
        command, cwd=folder, env=os.environ | names, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


KEYS = ("NAME", "EMAIL")
DVC = (sys.executable, "-m", "dvc")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Git repository with an export in DVC, the artifacts of this project, and a version tag."""
    folder = tmp_path_factory.mktemp("repository")
    write_models(folder / "models", reject_below=0.9)
    pipeline = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))
    assert "models/export" in pipeline["stages"]["export"]["outs"]
    artifacts = {"artifacts": pipeline["artifacts"]}
    (folder / "dvc.yaml").write_text(yaml.safe_dump(artifacts), "utf-8")
    run(folder, "git", "init", "--quiet")
    run(folder, *DVC, "init", "--quiet")
    run(folder, *DVC, "add", "--quiet", "models/export")
    run(folder, "git", "add", ".")
    run(folder, "git", "commit", "--quiet", "--message", "a model")
    run(folder, "git", "tag", "--annotate", "classifier@v1.0.0", "--message", "first")
    return folder


@pytest.mark.parametrize(
    "command",
    [
        ["get", "REPOSITORY", "models/export"],
        ["artifacts", "get", "REPOSITORY", "classifier"],
        ["artifacts", "get", "REPOSITORY", "classifier", "--rev", "v1.0.0"],
    ],
    ids=" ".join,
)
def test_fetched_artifact_answers_without_the_rest(
    repository: Path, tmp_path: Path, command: list[str]
) -> None:
    given = [str(repository) if part == "REPOSITORY" else part for part in command]
    run(tmp_path, *DVC, *given, "--out", "exp")
    model = load_model(tmp_path / "exp", tta=True)
    assert model.predict(image_of("red")).label == "red"
    assert model.decision.reject_below == 0.9
