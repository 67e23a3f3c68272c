"""A copy of the project in which a program trains, and what it trains kept as DVC experiments."""

import shutil
import subprocess
import sys
from pathlib import Path

from classifier.core.errors import UserError


def run_tool(*command: str, folder: Path) -> str:
    """What a command of Git or DVC prints; raises UserError with its last words where it fails."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise UserError(f"`{' '.join(command)}` failed: {said[-1] if said else done.returncode}")
    return done.stdout.strip()


def committed_head(project: Path) -> str:
    """The commit that is checked out; raises UserError where tracked files differ from it."""
    changed = run_tool("git", "status", "--porcelain", "--untracked-files=no", folder=project)
    if changed:
        names = ", ".join(line.split()[-1] for line in changed.splitlines()[:5])
        raise UserError(
            f"these files are not committed ({names}): commit them first, since experiments belong "
            "to a commit."
        )
    return run_tool("git", "rev-parse", "HEAD", folder=project)


def copy_project(project: Path, folder: Path) -> None:
    """Clone the project's last commit to `folder`, with its images, without copying them.

    Raises UserError where DVC has no images of this commit.
    """
    shutil.rmtree(folder, ignore_errors=True)
    run_tool("git", "clone", "--quiet", "--shared", str(project), str(folder), folder=project)
    cache = run_tool(*_DVC, "cache", "dir", folder=project)
    for key, value in (("cache.dir", cache), ("cache.type", "reflink,hardlink,symlink,copy")):
        run_tool(*_DVC, "config", "--local", key, value, folder=folder)
    try:
        run_tool(*_DVC, "checkout", "--quiet", "data/split", folder=folder)
    except UserError:
        raise UserError(
            "DVC has no data/split of this commit: run `dvc repro split`, and commit dvc.lock."
        ) from None


def save_experiment(folder: Path, name: str, stage: str) -> None:
    """Keep the outputs of `stage` in the copy as the original's experiment `name`."""
    run_tool(*_DVC, "exp", "save", "--quiet", "--force", "--name", name, stage, folder=folder)
    head = run_tool("git", "rev-parse", "HEAD", folder=folder)
    # Where DVC keeps the experiments of a commit.
    reference = f"refs/exps/{head[:2]}/{head[2:]}/{name}"
    run_tool("git", "push", "--quiet", "--force", "origin", reference, folder=folder)


_DVC = (sys.executable, "-m", "dvc")
