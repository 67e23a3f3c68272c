"""Program: push data, models and every run to a DVC remote, so that others need not run it again.

    classifier push

Does what `dvc push --run-cache` does, and also pushes the metrics and plots of those runs. DVC
leaves these behind, since Git keeps the ones that are committed; but without them another clone
cannot take over a run that its own `dvc.lock` does not have.
"""

import argparse

from dvc.config import NoRemoteError
from dvc.exceptions import DvcException
from dvc.repo import Repo

from classifier.core.errors import UserError


def main(arguments: list[str]) -> None:
    """Push everything to the remote and print how many files it took."""
    parser = argparse.ArgumentParser(prog="classifier push")
    parser.add_argument("--remote", help="its name (default: the default remote)")
    options = parser.parse_args(arguments)
    try:
        with Repo() as repo:
            count = push(repo, options.remote)
    except NoRemoteError:
        raise UserError(
            "there is no remote to push to: `dvc remote add --default NAME ADDRESS`."
        ) from None
    except DvcException as error:
        raise UserError(f"not all was pushed: {' '.join(str(error).split())}") from error
    print(f"{count} files pushed: data, models, exports, and what each run has made.")


def push(repo: Repo, remote: str | None) -> int:
    """Push everything; the number of files that the remote did not have."""
    count = repo.push(remote=remote)
    runs = repo.stage_cache.push(remote)
    made = {
        file
        for files in repo.stage_cache.get_used_objs(runs).values()
        for file in files
        if repo.cache.local.exists(file.value)
    }
    result = repo.cloud.push(made, remote=remote)
    if result.failed:
        raise DvcException(f"{len(result.failed)} files could not be sent.")
    return count + len(result.transferred)
