"""Copy the project for a program that trains, and save what it trains as DVC experiments."""

import shutil
import subprocess
import sys
from pathlib import Path

from classifier.core.errors import UserError


def run_tool(*command: str, folder: Path) -> str:
    """Return what a command of Git or DVC prints; raise UserError with its error message."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        # Where DVC did not expect an error, it ends with where to get help.
        said = [line for line in lines if line and not line.startswith("Having any troubles?")]
        raise UserError(f"`{' '.join(command)}` failed: {said[-1] if said else done.returncode}")
    return done.stdout.strip()


def committed_head(project: Path) -> str:
    """Return the commit that is checked out; raise UserError where tracked files differ from it."""
    # -z: names as they are, which git otherwise puts into quotes where they hold a space.
    changed = run_tool("git", "diff", "--name-only", "-z", "HEAD", folder=project)
    if changed:
        names = ", ".join(changed.rstrip("\0").split("\0")[:5])
        raise UserError(
            f"these files are not committed ({names}): commit them first, since experiments belong "
            "to a commit."
        )
    return run_tool("git", "rev-parse", "HEAD", folder=project)


def copy_project(project: Path, folder: Path) -> None:
    """Clone the last commit of the project to `folder`, with links to its images.

    Raises:
        UserError: DVC's cache has no images of this commit.
    """
    shutil.rmtree(folder, ignore_errors=True)
    run_tool("git", "clone", "--quiet", "--shared", str(project), str(folder), folder=project)
    cache = run_tool(*_DVC, "cache", "dir", folder=project)
    for key, value in (("cache.dir", cache), ("cache.type", "reflink,hardlink,symlink,copy")):
        run_tool(*_DVC, "config", "--local", key, value, folder=folder)
    try:
        run_tool(*_DVC, "checkout", "--quiet", "data/split", "data/backbone", folder=folder)
    except UserError:
        raise UserError(
            "DVC has no data/split or data/backbone of this commit: run "
            "`dvc repro split backbone`, and commit dvc.lock."
        ) from None


def save_experiment(folder: Path, name: str, stage: str) -> None:
    """Save the outputs of `stage` in the copy as experiment `name` of the original project."""
    run_tool(*_DVC, "exp", "save", "--quiet", "--force", "--name", name, stage, folder=folder)
    head = run_tool("git", "rev-parse", "HEAD", folder=folder)
    reference = f"{experiment_refs(head)}/{name}"
    run_tool("git", "push", "--quiet", "--force", "origin", reference, folder=folder)


def experiment_names(project: Path, commit: str) -> set[str]:
    """Return the names of the experiments of a commit that this repository has."""
    folder = experiment_refs(commit)
    listed = run_tool("git", "for-each-ref", "--format=%(refname)", folder, folder=project)
    return {name.removeprefix(f"{folder}/") for name in listed.splitlines()}


def experiment_refs(commit: str) -> str:
    """Return the folder of Git references in which DVC keeps the experiments of a commit.

    DVC does not document it; a test names the release that it was seen with.
    """
    return f"refs/exps/{commit[:2]}/{commit[2:]}"


_DVC = (sys.executable, "-m", "dvc")
