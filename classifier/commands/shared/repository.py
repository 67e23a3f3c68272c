"""Open the DVC project of the current folder, or say why DVC cannot run there."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from classifier.core.errors import UserError

if TYPE_CHECKING:
    from dvc.repo import Repo


@contextmanager
def open_repository() -> Iterator["Repo"]:
    """Yield the DVC project of the current folder.

    Raises:
        UserError: The database in which DVC remembers hashes of files cannot be read or written.
        DvcException: DVC refuses to run here, such as a `NotDvcRepoError`.
    """
    # DVC is slow to import, which --help need not wait for.
    from dvc.dirs import site_cache_dir  # noqa: PLC0415
    from dvc.repo import Repo  # noqa: PLC0415

    try:
        with Repo() as repo:
            yield repo
    except sqlite3.Error as error:
        # All that is lost with it is the time to read the files again.
        raise UserError(
            f"DVC cannot use its database of hashes ({error}): free some space where the disk is "
            f"full, or else remove {Path(site_cache_dir(), 'repo')} when no DVC runs; then run the "
            "same command again."
        ) from error


def check_repository() -> None:
    """Raise UserError where DVC would refuse to run here, as in what a zip file was unpacked to.

    Outside of a DVC project there is nothing to check.
    """
    from dvc.exceptions import DvcException, NotDvcRepoError  # noqa: PLC0415
    from dvc.scm import SCMError  # noqa: PLC0415

    try:
        with open_repository():
            pass
    except NotDvcRepoError:
        return
    except SCMError as error:
        raise UserError(
            f"DVC cannot run here, since {error}, as after a download as a zip: clone the project, "
            "or run `git init`."
        ) from None
    except DvcException as error:
        raise UserError(f"DVC cannot run here: {' '.join(str(error).split())}") from None
