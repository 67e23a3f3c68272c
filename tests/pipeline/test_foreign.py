"""Images that show none of the classes travel with the project, as DVC itself sees it."""

import csv
import re
from pathlib import Path

import pytest
from builders.clones import Clone
from builders.images import encode, noise
from builders.sources import write_files

TABLE = Path("results/evaluate/outside.csv")
pytestmark = pytest.mark.xdist_group("origin")


@pytest.fixture(scope="module")
def clone(origin: Clone, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone with five foreign images that nobody tracks, and a remote."""
    folder = tmp_path_factory.mktemp("foreign")
    clone = origin.copied(folder / "project")
    clone.dvc("remote", "add", "--default", "--force", "shared", str(folder / "team"))
    images = {f"{number}.png": encode(noise(9, 8, number)) for number in range(5)}
    write_files(clone.folder / "foreign", images)
    clone.set_params(foreign="foreign")
    return clone


def foreign_images(folder: Path) -> list[str]:
    """The numbers of images in the row of foreign images; none without the row."""
    rows = csv.DictReader((folder / TABLE).read_text("utf-8").splitlines())
    return [row["images"] for row in rows if row["left_out"] == "foreign images"]


def test_untracked_images_are_told_of_and_a_copy_without_them_does_not_go_on(clone: Clone) -> None:
    said = clone.dvc("repro", "evaluate")
    assert "evaluate: note: foreign lies in this project, but neither Git nor DVC tracks it" in said
    assert foreign_images(clone.folder) == ["5"]
    process = clone.start("dvc", "exp", "run", "--temp", "evaluate")
    _, error = process.communicate()
    assert process.returncode != 0
    assert re.search(r"reproduce 'evaluate': .*No such file or directory.*/foreign", error)


def test_images_that_dvc_tracks_come_with_clones_and_experiments(
    clone: Clone, tmp_path: Path
) -> None:
    clone.dvc("add", "foreign")
    assert "note" not in clone.dvc("repro", "evaluate")
    clone.commit("foreign images")
    clone.dvc("push")
    other = clone.cloned(tmp_path / "pulled", tmp_path / "cache")
    other.dvc("pull")
    assert foreign_images(other.folder) == ["5"]
    assert "up to date" in other.dvc("status", "evaluate", "foreign.dvc")
    lean = clone.cloned(tmp_path / "lean", tmp_path / "cache")
    said = lean.dvc("repro", "--pull", "--allow-missing", "evaluate")
    assert "Running stage" not in said
    change = ("-S", "evaluate.calibration_bins=5")
    clone.dvc("exp", "run", "--temp", "--name", "bins", *change, "evaluate")
    clone.dvc("exp", "branch", "bins", "bins")
    assert "foreign images" in clone.run("git", "show", f"bins:{TABLE}")
