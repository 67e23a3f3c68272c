"""Check that local data is there before DVC removes the output of the last download."""

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
