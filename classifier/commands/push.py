"""Push data, models and the results of every run to a DVC remote, so that others need no rerun.

    classifier push

It does what `dvc push --run-cache` does, and also pushes the metrics and plots of those runs. DVC
leaves these behind, since Git keeps the ones that are committed; but without them another clone
cannot take over a run that its own `dvc.lock` does not have.

It warns about experiments that were made before the remote was committed: `dvc exp push` sends
them, but in their commit `.dvc/config` names no remote, so that another clone which applies one
loses the remote and does not find the files.
"""

import configparser
import subprocess
import sys
from pathlib import Path

from dvc.config import NoRemoteError
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc_data.hashfile.hash_info import HashInfo

from classifier.commands.shared.parser import CommandParser
from classifier.commands.shared.repository import open_repository
from classifier.commands.shared.up_to_date import quiet_dvc
from classifier.core.errors import UserError
from classifier.core.text import counted

_CONFIG = ".dvc/config"


def main(arguments: list[str]) -> None:
    """Push everything to the remote and print how many files it took."""
    parser = CommandParser(
        prog="classifier push",
        description="Push data, models and the results of every run to the DVC remote.",
    )
    parser.add_argument(
        "--remote", metavar="NAME", help="the remote to push to (default: the default remote)"
    )
    options = parser.parse_args(arguments)
    try:
        with open_repository() as repo:
            count = push(repo, options.remote)
            lost = experiments_without_remote(repo)
    except NoRemoteError:
        raise UserError(
            "there is no remote to push to: `dvc remote add --default NAME ADDRESS`."
        ) from None
    except DvcException as error:
        raise UserError(f"not all was pushed: {' '.join(str(error).split())}") from error
    what = "data, models, exports, and the results of every run"
    print(f"{counted(count, 'file')} pushed: {what}.")
    if lost:
        print(_warning(lost), file=sys.stderr)


def push(repo: Repo, remote: str | None) -> int:
    """Push everything; return the number of files that the remote did not have.

    Raises DvcException where a file could not be sent.
    """
    count = repo.push(remote=remote)
    missing = push_run_cache(repo, remote)
    result = repo.cloud.push(missing, remote=remote)
    if result.failed:
        raise DvcException(f"{counted(len(result.failed), 'file')} could not be sent.")
    return count + len(result.transferred)


def push_run_cache(repo: Repo, remote: str | None) -> set[HashInfo]:
    """Push the records of all runs; return the objects they made that are in the local cache.

    Folders that `dvc gc` has removed are passed over: `force` takes them for empty where DVC would
    stop, and the warning about each of them is not shown.

    `Repo.stage_cache` is no public interface; seen with DVC 3.67.1.
    """
    runs = repo.stage_cache.push(remote)
    with quiet_dvc():
        used = repo.stage_cache.get_used_objs(runs, remote=remote, force=True)
    return {
        file for files in used.values() for file in files if repo.cache.local.exists(file.value)
    }


def experiments_without_remote(repo: Repo) -> list[str]:
    """Return the names of experiments whose commit does not name the default remote, sorted.

    There are none where the work tree's own .dvc/config names no default remote, as for somebody
    who keeps the address in .dvc/config.local.

    `Repo.experiments` is no public interface; seen with DVC 3.67.1.
    """
    remote = _default_remote(Path(repo.root_dir, _CONFIG).read_text("utf-8"))
    if remote is None:
        return []
    made = [
        one for of_commit in repo.experiments.ls(all_commits=True).values() for one in of_commit
    ]
    return sorted(name for name, commit in made if _remote_at(repo, commit) != remote)


def _remote_at(repo: Repo, commit: str) -> str | None:
    command = ["git", "show", f"{commit}:{_CONFIG}"]
    done = subprocess.run(command, cwd=repo.root_dir, capture_output=True, text=True, check=False)
    return _default_remote(done.stdout)


def _default_remote(text: str) -> str | None:
    config = configparser.ConfigParser(interpolation=None, strict=False)
    config.read_string(text)
    return config.get("core", "remote", fallback=None)


def _warning(names: list[str]) -> str:
    return (
        f"warning: made before the remote was committed: {', '.join(names)}. Others who apply one "
        "of them lose the remote and do not find its files. Run it again on a commit that has "
        f"{_CONFIG} (`dvc exp run`; what was computed is taken from the cache), then push it."
    )
