"""Get the images of any source as one file in data/raw/."""

import os
import urllib.parse
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Literal, NoReturn

import numpy as np
from PIL import Image
from pydantic import Field, field_validator, model_validator
from tqdm import tqdm

from classifier.core.cache import cache_folder
from classifier.core.config import Params
from classifier.core.errors import UserError
from classifier.core.files import sha256_of, write_json
from classifier.processing.formats import IMAGE_SUFFIXES
from classifier.sources.archives import clean_name, is_hidden, write_zip
from classifier.sources.fetch import copy_file, download, is_web_address, local_path, parse_checksum

CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
CIFAR10_CHECKSUM = "sha256:6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"


class DownloadParams(Params):
    """Section `download` of params.yaml.

    Attributes:
        source: Kind of the data.
        url: An http, https or file address, or a path, relative to the project's folder.
        checksum: `sha256:…` or `md5:…` of the file at url.
        watch: A path that DVC watches: the stage runs again when its content changes.
    """

    source: Literal["digits", "cifar10", "archive", "folder"]
    url: str | None = Field(min_length=1)
    checksum: str | None
    watch: str = Field(min_length=1)

    @field_validator("url")
    @classmethod
    def _known_address(cls, url: str | None) -> str | None:
        if url is None or is_web_address(url):
            return url
        if "://" in url and not url.lower().startswith("file:"):
            raise ValueError(f"{url!r} is no http, https or file address, and no path.")
        _refuse_tilde(str(local_path(url)))
        return url

    @field_validator("checksum")
    @classmethod
    def _known_checksum(cls, checksum: str | None) -> str | None:
        return None if checksum is None else str(parse_checksum(checksum))

    @field_validator("watch")
    @classmethod
    def _watchable(cls, watch: str) -> str:
        _refuse_tilde(watch)
        return watch

    @model_validator(mode="after")
    def _consistent(self) -> "DownloadParams":
        url, checksum = self.url, self.checksum
        if self.source == "digits":
            if url is not None or checksum is not None:
                raise ValueError(
                    "the digits come with scikit-learn: set download.url and download.checksum "
                    "to null, or choose another download.source."
                )
        elif self.source == "cifar10":
            if (url is None) != (checksum is None):
                raise ValueError(
                    "download.url and download.checksum go together: give both, or set both to "
                    "null for the public archive."
                )
        elif url is None:
            raise ValueError(
                f"the source {self.source} needs download.url, the address or path of the data."
            )
        elif self.source == "folder":
            self._check_folder(url)
        elif checksum is None and is_web_address(url):
            raise ValueError(
                "a web address needs download.checksum, which pins its content: take it from the "
                "publisher, or download the file once and run `sha256sum FILE`."
            )
        elif checksum is None and not self._watches(url):
            raise ValueError(
                "a local archive needs download.checksum, or its own path as download.watch, so "
                "that a change is noticed."
            )
        return self

    def _check_folder(self, url: str) -> None:
        if is_web_address(url):
            raise ValueError("a folder is named by its path: set download.url to one.")
        if self.checksum is not None:
            raise ValueError("a folder has no checksum: set download.checksum to null.")
        if not self._watches(url):
            raise ValueError(
                f"a folder must be watched: set download.watch to {str(local_path(url))!r} too, "
                "so that a change is noticed."
            )

    def _watches(self, url: str) -> bool:
        return os.path.normpath(self.watch) == os.path.normpath(local_path(url))


def acquire(params: DownloadParams, folder: Path) -> Path:
    """Write the data file and `source.json` to `folder`; return the path of the data file.

    `source.json` has the keys source, url, file (its name), checksum (its SHA-256) and bytes. Other
    files in `folder` are removed.

    Raises:
        UserError: The data cannot be obtained, or has another checksum.
    """
    url, checksum = params.url, params.checksum
    if params.source == "cifar10" and url is None:
        url, checksum = CIFAR10_URL, CIFAR10_CHECKSUM
    if params.source == "digits":
        file = folder / "digits.zip"
        write_zip(file, _digits())
    elif params.source == "folder":
        assert url is not None
        file = folder / "images.zip"
        write_zip(file, _images_below(local_path(url)))
    else:
        assert url is not None
        file = folder / _base_name(url)
        _fetch(url, file, checksum)
    description = {
        "source": params.source,
        "url": url,
        "file": file.name,
        "checksum": f"sha256:{sha256_of(file)}",
        "bytes": file.stat().st_size,
    }
    write_json(folder / "source.json", description)
    for other in folder.iterdir():  # files of a run with other params
        if other.name not in (file.name, "source.json"):
            other.unlink()
    return file


def _fetch(url: str, file: Path, checksum: str | None) -> None:
    expected = None if checksum is None else parse_checksum(checksum)
    if is_web_address(url):
        assert expected is not None
        download(url, file, expected, cache_folder("downloads"))
    else:
        copy_file(local_path(url), file, expected)


def _base_name(url: str) -> str:
    if is_web_address(url):
        name = PurePosixPath(urllib.parse.unquote(urllib.parse.urlsplit(url).path)).name
    else:
        name = local_path(url).name
    return "archive" if name in ("", "source.json") else name


def _digits() -> Iterator[tuple[str, bytes]]:
    """Yield scikit-learn's 1,797 handwritten digits as PNG files of 8 x 8 grey pixels.

    They are the test set of https://archive.ics.uci.edu/dataset/80.
    """
    from sklearn.datasets import load_digits  # noqa: PLC0415 (slow to import, used only here)

    values, classes = (np.asarray(part) for part in load_digits(return_X_y=True))
    images = np.rint(values.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    for index in np.argsort(classes, kind="stable"):
        buffer = BytesIO()
        # Not compressed: the bytes of a compressor depend on its version.
        Image.fromarray(images[index]).save(buffer, "PNG", compress_level=0)
        yield f"digits/{classes[index]}/{index:04d}.png", buffer.getvalue()


def _images_below(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name (relative to `folder`) and content of the image files below it, sorted by name.

    Files without the ending of an image are skipped.

    Raises:
        UserError: There is no such folder, no image file in it, or a link that leads out of it.
    """
    if not folder.is_dir():
        raise UserError(
            f"there is no folder {folder}: correct download.url, or connect the disk that holds "
            "it; `dvc checkout data/raw` brings the images of the last run back."
        )
    names: dict[str, Path] = {}
    for parent, subfolders, files in os.walk(folder, onerror=_raise):
        for entry in subfolders + files:
            path = Path(parent) / entry
            _refuse_link_out(path, folder)
        for entry in files:
            path = Path(parent) / entry
            name = clean_name(path.relative_to(folder).as_posix())
            if path.suffix.lower() in IMAGE_SUFFIXES and not is_hidden(name):
                names[name] = path
    if not names:
        raise UserError(f"no image files lie below {folder}: correct download.url.")
    for name, path in tqdm(sorted(names.items()), folder.name, unit="images", disable=None):
        yield name, path.read_bytes()


def _refuse_link_out(path: Path, folder: Path) -> None:
    """Raise UserError if `path` is a link that leads out of `folder`: DVC would not watch it."""
    if path.is_symlink() and (
        not path.is_file() or not path.resolve().is_relative_to(folder.resolve())
    ):
        raise UserError(f"{path} is a link to {path.readlink()}: put the images themselves there.")


def _raise(error: OSError) -> NoReturn:
    raise error


def _refuse_tilde(path: str) -> None:
    if path.startswith("~"):
        raise ValueError(f"{path!r} starts with ~, which DVC does not know: write the whole path.")
