"""Ask DVC whether data and models are those of today's params.yaml, images and code."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from classifier.commands.shared.repository import open_repository
from classifier.core.errors import UserError

PIPELINE = Path("dvc.yaml")


def check_up_to_date(*stages: str) -> None:
    """Raise UserError where `dvc repro` would run one of these stages, or one before them."""
    outdated = outdated_stages(*stages)
    if outdated:
        raise UserError(
            "params.yaml, images or code have changed since the last run, and `dvc repro` would "
            f"run {', '.join(outdated)}: run `dvc repro {' '.join(stages)}` first."
        )


def note_outdated(*stages: str) -> None:
    """Print a line where `dvc repro` would run one of these stages, or where DVC cannot say."""
    try:
        outdated = outdated_stages(*stages)
    except UserError as error:
        print(f"note: {error}")
        return
    if outdated:
        print(
            "note: this is about the last run; params.yaml, images, results or code have changed "
            f"since, and `dvc repro` would run at least {', '.join(outdated)}"
        )


def outdated_stages(*stages: str) -> list[str]:
    """Return what `dvc repro STAGES` would run first, of these stages (none: all) and those before.

    It does what `dvc repro --dry --allow-missing` does: a stage is not named for what DVC has not
    pulled, nor for a folder of images that this machine does not have. Outside of a DVC project
    there is none.

    Raises:
        UserError: DVC cannot say, because another DVC is writing, or dvc.lock or DVC's database
            cannot be read.
    """
    if not PIPELINE.is_file():
        return []
    # DVC is slow to import, which --help need not wait for.
    from dvc.exceptions import DvcException, NotDvcRepoError, ReproductionError  # noqa: PLC0415
    from dvc.repo.reproduce import reproduce  # noqa: PLC0415

    try:
        with quiet_dvc(), open_repository() as repo:
            found = reproduce(repo, targets=list(stages), dry=True, allow_missing=True)
    except NotDvcRepoError:
        return []
    except DvcException as error:
        # It says no more than the name of the stage where the cause is another error.
        cause = error.__cause__ if isinstance(error, ReproductionError) else None
        if isinstance(cause, FileNotFoundError):
            # Its data are missing, which a stage before it would write, and a dry run does not.
            return [str(error).split("'")[1]]
        reason = " ".join(str(cause or error).split())
        raise UserError(f"DVC cannot say what is up to date: {reason}") from error
    return [stage.addressing for stage in found]


@contextmanager
def quiet_dvc() -> Iterator[None]:
    """Keep DVC from printing what it does, such as each stage that did not change."""
    logger = logging.getLogger("dvc")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
