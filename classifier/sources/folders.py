"""List the files of a folder of images, and pack its images into one file."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

from classifier.core.errors import UserError
from classifier.processing.formats import IMAGE_SUFFIXES
from classifier.sources.archives import clean_name, is_hidden
from classifier.sources.tables import SeenFile


def list_folder(folder: Path) -> list[tuple[SeenFile, Path]]:
    """Return every file below `folder` with its path, sorted by its name relative to `folder`.

    Raises:
        UserError: There is no such folder, or a link leads out of it.
    """
    if not folder.is_dir():
        raise UserError(
            f"there is no folder {folder}: correct download.url, or connect the disk that holds "
            "it; `dvc checkout data/raw` brings the images of the last run back."
        )
    found: list[tuple[SeenFile, Path]] = []
    for parent, subfolders, files in os.walk(folder, onerror=_raise):
        for entry in subfolders + files:
            _refuse_link_out(Path(parent, entry), folder)
        for entry in files:
            path = Path(parent, entry)
            name = clean_name(path.relative_to(folder).as_posix())
            found.append((SeenFile(name, path.stat().st_size, _status(name)), path))
    found.sort(key=lambda item: item[0].path)
    return found


def read_files(files: Iterable[tuple[SeenFile, Path]], title: str) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the images among `files`; `title` names the progress bar."""
    images = [(file.path, path) for file, path in files if file.status == "image"]
    for name, path in tqdm(images, title, unit="images", disable=None):
        yield name, path.read_bytes()


def _status(name: str) -> str:
    if is_hidden(name):
        return "hidden"
    return "image" if Path(name).suffix.lower() in IMAGE_SUFFIXES else "no image"


def _refuse_link_out(path: Path, folder: Path) -> None:
    """Raise UserError if `path` is a link that leads out of `folder`: DVC would not watch it."""
    if path.is_symlink() and (
        not path.is_file() or not path.resolve().is_relative_to(folder.resolve())
    ):
        raise UserError(f"{path} is a link to {path.readlink()}: put the images themselves there.")


def _raise(error: OSError) -> NoReturn:
    raise error
