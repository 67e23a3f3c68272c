"""Say which data clones and queued experiments will lack, since neither Git nor DVC tracks it."""

import subprocess
from pathlib import Path
from shlex import quote


def describe_untracked(path: Path, knobs: str) -> list[str]:
    """Return a line if clones and queued experiments will lack the data; otherwise none.

    They have what Git or DVC tracks. For other data in the project's folder, DVC says no more than
    `No such file or directory` there.

    Args:
        path: file or folder of the data.
        knobs: the parameters that name it.
    """
    if path.is_absolute() or ".." in path.parts or not path.exists():
        return []
    problem = _problem(path)
    if problem is None:
        return []
    why, command = problem
    return [
        f"note: {path} lies in this project, but {why}, so that clones, queued experiments and "
        f"`classifier sweep` will not find it: run `{command}` and commit, or write the whole path "
        f"in {knobs}"
    ]


def _problem(path: Path) -> tuple[str, str] | None:
    """Return what is not tracked, and the command that helps.

    None where all is tracked, or where Git cannot be asked.
    """
    for folder in (path, *path.parents[:-1]):
        pointer = folder.with_name(f"{folder.name}.dvc")
        if pointer.exists():
            is_lost = _list_files(pointer) == ""
            return (
                (f"Git does not track {pointer}", f"git add {quote(str(pointer))}")
                if is_lost
                else None
            )
    tracked, others = _list_files(path), _list_files(path, "--others")
    if tracked is None or (tracked and not others):
        return None
    return (
        f"neither Git nor DVC tracks {'all of it' if tracked else 'it'}",
        f"dvc add {quote(str(path))}",
    )


def _list_files(path: Path, *options: str) -> str | None:
    try:
        asked = subprocess.run(
            ["git", "ls-files", *options, "--", str(path)],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        return None
    return asked.stdout if asked.returncode == 0 else None
