"""The two files that DVC writes in place, so that a kill at that moment leaves a part of one."""

import json
from pathlib import Path

from classifier.core.errors import UserError

LOCK_FILE = Path("dvc.lock")
PROCESSES = Path(".dvc/tmp/rwlock")


def check_dvc_files() -> None:
    """Raise UserError where DVC cannot read its lock file, or its list of what runs."""
    path = cut_short_file(Path())
    if path == LOCK_FILE:
        raise UserError(
            f"{path} is not whole, as after a kill while DVC wrote it: bring the last commit's "
            f"back with `git checkout {path}` (or remove it, where none is committed), and run "
            "the same command again; what has run since comes out of DVC's cache."
        )
    if path is not None:
        raise UserError(
            f"{path} is not whole, as after a kill while DVC wrote it: remove it when no DVC runs, "
            "and run the same command again."
        )


def cut_short_file(project: Path) -> Path | None:
    """Return the first of the two files of a project that DVC cannot read; None: it reads both.

    Conflict markers of Git are left to DVC, which shows where they are. A lock file that ends
    between two entries can be read: DVC then runs the stages that are missing.
    """
    if not _is_readable_lock_file(project / LOCK_FILE):
        return project / LOCK_FILE
    if not _is_readable_list(project / PROCESSES):
        return project / PROCESSES
    return None


def _is_readable_lock_file(path: Path) -> bool:
    # DVC is slow to import, which --help need not wait for.
    from dvc.exceptions import DvcException  # noqa: PLC0415
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA  # noqa: PLC0415
    from dvc.utils.serialize import load_yaml  # noqa: PLC0415
    from voluptuous import Invalid  # noqa: PLC0415

    if not path.is_file() or b"<<<<<<< " in path.read_bytes():
        return True
    try:
        COMPILED_LOCKFILE_SCHEMA(load_yaml(path))
    except (DvcException, Invalid):
        return False
    return True


def _is_readable_list(path: Path) -> bool:
    from dvc.rwlock import SCHEMA  # noqa: PLC0415
    from voluptuous import Invalid  # noqa: PLC0415

    if not path.is_file():
        return True
    try:
        SCHEMA(json.loads(path.read_bytes()))
    except (ValueError, Invalid):
        return False
    return True
