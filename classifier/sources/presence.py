"""Check that local data is there before DVC removes the output of the last download."""

import subprocess
from pathlib import Path

from classifier.core.addresses import is_web_address, local_path
from classifier.core.errors import UserError
from classifier.sources.labelling.label_table import check_watched
from classifier.sources.params import DownloadParams


def check_present(params: DownloadParams) -> None:
    """Raise UserError if a file or folder that the download stage needs is missing or unwatched."""
    named = {"download.watch": Path(params.watch)}
    if params.url is not None and not is_web_address(params.url):
        named = {"download.url": local_path(params.url), **named}
    for name, path in named.items():
        if not path.exists():
            raise UserError(
                f"{name} is {str(path)!r}, but there is no such file or folder: write the path of "
                "your images, or connect the disk that holds them. Nothing was changed; if "
                "data/raw is gone already, `dvc checkout data/raw` brings it back."
            )
    files = params.labels.file if params.labels is not None else {}
    for table in [files] if isinstance(files, str) else files.values():
        if Path(table).is_file():
            check_watched(table, params)


def describe_untracked(params: DownloadParams) -> list[str]:
    """Return a line if queued experiments and clones will lack the data; otherwise none.

    They have what Git or DVC tracks. For other data in the project's folder, DVC says no more than
    `No such file or directory` there.
    """
    path = Path(params.watch)
    if path.is_absolute() or ".." in path.parts or not path.exists() or _is_tracked(path):
        return []
    return [
        f"note: {path} lies in this project, but neither Git nor DVC tracks it, so that queued "
        f"experiments and `classifier sweep` will not find it: run `dvc add {path}` and commit, or "
        "write the whole path in download.url and download.watch"
    ]


def _is_tracked(path: Path) -> bool:
    """Return whether Git or DVC tracks something at this path; True where Git cannot be asked."""
    if any(
        folder.with_name(f"{folder.name}.dvc").exists() for folder in (path, *path.parents[:-1])
    ):
        return True
    try:
        asked = subprocess.run(
            ["git", "ls-files", "--", str(path)], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return True
    return asked.returncode != 0 or bool(asked.stdout)
