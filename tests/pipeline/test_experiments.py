"""Experiments as the README tells: queue, show, diff, apply, branch, push and pull."""

import re
import time
from pathlib import Path

import pytest
from builders.clones import Clone

pytestmark = pytest.mark.xdist_group("origin")


@pytest.fixture(scope="module")
def clone(origin: Clone, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone in which two experiments have run at once, from the queue.

    The library in the work tree does not work meanwhile: an experiment uses its own copy.
    """
    clone = origin.copied(tmp_path_factory.mktemp("experiments") / "project")
    # Only the split stage has to run for them, whose outputs do not change.
    clone.dvc("exp", "run", "--queue", "--set-param", "split.min_images_per_class=range(4,6)")
    library = clone.folder / "classifier/splitting/split.py"
    before = library.read_bytes()
    library.write_text('raise RuntimeError("not this copy")\n', "utf-8")
    clone.dvc("queue", "start", "--jobs", "2")
    deadline = time.monotonic() + 600
    while (said := clone.dvc("queue", "status")).count("Success") < 2:
        assert "Failed" not in said
        assert time.monotonic() < deadline
        time.sleep(1)
    library.write_bytes(before)
    return clone


def test_queued_experiments_use_their_own_copy_of_the_library(clone: Clone) -> None:
    # With the library of the work tree, both would have failed.
    assert len(names(clone)) == 2


def names(clone: Clone) -> list[str]:
    return sorted(clone.dvc("exp", "list", "--name-only").split())


def test_two_experiments_are_compared(clone: Clone) -> None:
    said = clone.dvc("exp", "diff", *names(clone), "--md")
    assert re.search(r"params.yaml +\| split.min_images_per_class +\| \d +\| \d", said)


def test_experiment_is_applied_and_becomes_a_branch(clone: Clone) -> None:
    name = names(clone)[0]
    clone.dvc("exp", "apply", name)
    changed = clone.run("git", "diff", "--name-only").split()
    assert {"params.yaml", "dvc.lock"} <= set(changed)
    assert "Running stage" not in clone.dvc("repro")
    clone.run("git", "checkout", "--quiet", ".")
    clone.dvc("exp", "branch", name, "better")
    assert "min_images_per_class" in clone.run("git", "diff", "HEAD", "better", "--", "params.yaml")


def test_experiments_travel_through_git_and_a_remote(clone: Clone, tmp_path: Path) -> None:
    clone.run("git", "init", "--quiet", "--bare", str(tmp_path / "hub"))
    clone.run("git", "remote", "add", "hub", str(tmp_path / "hub"))
    clone.run("git", "push", "--quiet", "hub", "HEAD:main")
    clone.dvc("remote", "add", "--local", "--default", "--force", "team", str(tmp_path / "team"))
    name = names(clone)[0]
    clone.dvc("exp", "push", "hub", name)
    clone.run("git", "clone", "--quiet", "-b", "main", str(tmp_path / "hub"), str(tmp_path / "own"))
    other = Clone(tmp_path / "own", tmp_path / "cache")
    other.dvc("remote", "add", "--local", "--default", "team", str(tmp_path / "team"))
    other.dvc("exp", "pull", "origin", name)
    assert names(other) == [name]
    other.dvc("exp", "apply", name)
    assert "Running stage" not in other.dvc("repro", "--pull", "--allow-missing")
