"""Run a stage's program with the libraries that it declares."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import yaml

from classifier.core import code
from classifier.core.errors import UserError
from classifier.core.processes import ending_at_once, run_program
from classifier.core.versions import LOCK, OPTIONAL, VERSIONS, installed_versions

PIPELINE = "dvc.yaml"


def run_stage(name: str, main: Callable[[], None]) -> NoReturn:
    """Run a stage's program as `run_program` does, after `check_versions`."""

    def checked() -> None:
        check_versions(name)
        main()

    with ending_at_once():
        run_program(checked)


def check_versions(stage: str, root: Path | None = None) -> None:
    """Compare the installed libraries with those that a stage declares.

    Args:
        stage: Its name in dvc.yaml, whose `params` name the libraries.
        root: Folder of dvc.yaml and versions.yaml; None for that of the code that runs.

    Raises:
        UserError: A library is missing, unless it is optional, or has another version than in
            versions.yaml, or one of the two files is missing.
    """
    root = root or code.ROOT
    locked = _read(root / VERSIONS)
    declared = _read(root / PIPELINE)["stages"][stage].get("params", [])
    entries = [entry[VERSIONS] for entry in declared if isinstance(entry, dict)]
    # An entry without names stands for all.
    names = [name for entry in entries for name in entry or locked]
    installed = installed_versions(*names)
    wrong = [
        f"{name} {locked[name]} is needed, and {found or 'none'} is installed"
        for name, found in installed.items()
        # What follows a plus sign is how it was built, such as for a GPU.
        if (found or "").partition("+")[0] != locked[name] and (found or name not in OPTIONAL)
    ]
    if wrong:
        raise UserError(
            f"{'; '.join(wrong)}: run `make setup`, which installs what {LOCK} says, "
            f"or `make lock`, which takes new versions into {LOCK} and {VERSIONS}."
        )


def _read(path: Path) -> dict[str, Any]:
    try:
        return yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing: bring it back with `git checkout {path.name}`."
        ) from None
