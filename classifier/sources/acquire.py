"""Get the images of any source as verified files in data/raw/, with the label of each image."""

import os
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from PIL import Image

from classifier.core.addresses import is_web_address, local_path, shown_address
from classifier.core.cache import cache_folder
from classifier.core.errors import UserError
from classifier.core.files import sha256_of, write_json
from classifier.core.text import has_control_character
from classifier.sources import cifar10
from classifier.sources.account import describe_files
from classifier.sources.archives import MAX_WANTED, list_members, read_members
from classifier.sources.fetch import (
    check_file,
    copy_file,
    download,
    link_or_copy,
    parse_checksum,
)
from classifier.sources.folders import list_folder, read_file, read_image
from classifier.sources.ignore import ignore_files
from classifier.sources.labelling.label_pattern import label_by_pattern
from classifier.sources.labelling.label_table import label_by_table
from classifier.sources.labelling.labels import Labels
from classifier.sources.labelling.layout import label_by_folders
from classifier.sources.names import ending, ignored_by
from classifier.sources.packing import pack
from classifier.sources.params import DownloadParams
from classifier.sources.tables import FILES, LABELS, SeenFile, write_files, write_labels

CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
CIFAR10_CHECKSUM = "sha256:6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
DESCRIPTION = "source.json"
_LONGEST_NAME = 200  # bytes
_PACKED = (".zip", ".tar", ".gz", ".tgz", ".xz", ".bz2", ".7z", ".rar", ".parquet", ".tfrecord")


class Found(NamedTuple):
    """What a source holds, before anything is written.

    Attributes:
        files: Every file of the source, sorted by path.
        folders: Names of its folders, as far as the source lists them.
        written: Path in the source of each file whose path there is in another form of Unicode.
        read: Returns the content of one file; None if there is no such file.
        store: Writes the files that hold the images to a folder and returns their paths; takes
            the files of the source, too, whose status says which are images.
    """

    files: list[SeenFile]
    folders: list[str]
    written: dict[str, str]
    read: Callable[[str], bytes | None]
    store: Callable[[Path, list[SeenFile]], list[Path]]


class Acquired(NamedTuple):
    """What `acquire` has written: files that hold the images, and lines that say what they are."""

    files: list[Path]
    lines: list[str]


def acquire(params: DownloadParams, folder: Path) -> Acquired:
    """Write the files that hold the images, their tables and `source.json` to `folder`.

    Digits and folders are packed into `params.shards` zip files; an archive stays as it came.
    `labels.csv` and `files.csv` are those of `tables`. `source.json` has the keys source, url,
    shards and files: the checksum (SHA-256) and bytes of each file, by its name. Other files in
    `folder` are removed. Labels are read before anything is written.

    Raises:
        UserError: The data cannot be obtained, has another checksum, or does not say the class of
            each image.
    """
    found = _find(params)
    files, folders = ignore_files(found.files, found.folders, params.ignore)
    _check_images(files, params)
    labels = _label(found._replace(files=files, folders=folders), params)
    files = _account(files, labels)
    stored = found.store(folder, files)
    write_labels(folder / LABELS, labels.images, labels.columns)
    write_files(folder / FILES, files)
    url = _address(params)[0]
    description = {
        "source": params.source,
        "url": None if url is None else shown_address(url),
        "shards": params.shards,
        "files": {
            file.name: {"checksum": f"sha256:{sha256_of(file)}", "bytes": file.stat().st_size}
            for file in stored
        },
    }
    write_json(folder / DESCRIPTION, description)
    written = {file.name for file in stored} | {LABELS, FILES, DESCRIPTION}
    for other in folder.iterdir():  # files of a run with other params
        if other.name not in written:
            other.unlink()
    return Acquired(stored, [describe_files(files), *labels.lines])


def _find(params: DownloadParams) -> Found:
    """Return what the source holds; a web archive is downloaded to the cache for that."""
    if params.source == "digits":
        images = dict(_digits())
        files = [SeenFile(name, len(content), "image") for name, content in images.items()]
        return Found(
            files,
            [],
            {},
            images.get,
            lambda raw, files: pack(raw, files, lambda file: images[file.path], params.shards),
        )
    if params.source == "folder":
        assert params.url is not None
        folder = local_path(params.url)
        files, folders, renamed = list_folder(folder)
        return Found(
            files,
            folders,
            renamed,
            lambda name: read_file(folder, name, renamed),
            lambda raw, files: pack(
                raw, files, lambda file: read_image(folder, file, renamed), params.shards
            ),
        )
    url, checksum = _address(params)
    assert url is not None
    expected = None if checksum is None else parse_checksum(checksum)
    if is_web_address(url):
        assert expected is not None
        archive = download(url, expected, cache_folder("downloads"))
    else:
        archive = local_path(url)
        check_file(archive, expected)
    files, folders, written = _list(params, archive)

    def read(name: str) -> bytes | None:
        return next((content for _, content in read_members(archive, name.__eq__)), None)

    def store(raw: Path, _: list[SeenFile]) -> list[Path]:
        path = raw / _base_name(url)
        if is_web_address(url):
            link_or_copy(archive, path)
        else:
            copy_file(archive, path, expected)
        return [path]

    return Found(files, folders, written, read, store)


def _label(found: Found, params: DownloadParams) -> Labels:
    if params.labels is not None:
        return label_by_table(found.files, found.read, params)
    if params.pattern is not None:
        return label_by_pattern(found.files, found.written, params)
    return label_by_folders(found.files, found.folders, found.written, params)


def _account(files: Sequence[SeenFile], labels: Labels) -> list[SeenFile]:
    """Return all rows of files.csv, sorted by path: the files, and rows of a table without file."""
    known = [
        file._replace(status=kept.status, reason=kept.reason)
        if (kept := labels.kept_out.get(file.path))
        else file
        for file in files
    ]
    return sorted(known + labels.no_files) if labels.no_files else known


def _check_images(files: Sequence[SeenFile], params: DownloadParams) -> None:
    """Raise UserError if there are no images, or if one is too large to read."""
    shown = shown_address(params.url or "")
    if not any(file.status == "image" for file in files):
        packed = (file.path for file in files if file.status == "no image" and _is_packed(file))
        if within := next(packed, None):
            raise UserError(
                f"no images lie in {shown}: unpack {within}, which lies there, or correct "
                "download.url."
            )
        remedy = "correct download.url" + (" or download.ignore" if params.ignore else "")
        raise UserError(f"no images lie in {shown}: {remedy}.")
    large = (file for file in files if file.status == "image" and file.size > MAX_WANTED)
    if large := next(large, None):
        raise UserError(
            f"{shown} holds {large.path} of {large.size:,} bytes; {MAX_WANTED:,} is the "
            "limit: remove it."
        )


def _is_packed(file: SeenFile) -> bool:
    """Return whether a file that is no image may hold images, by its ending."""
    return ending(file.path) in _PACKED


def _address(params: DownloadParams) -> tuple[str | None, str | None]:
    """Return the address and the checksum of the data."""
    if params.source == "cifar10" and params.url is None:
        return CIFAR10_URL, CIFAR10_CHECKSUM
    return params.url, params.checksum


def _list(
    params: DownloadParams, archive: Path
) -> tuple[list[SeenFile], list[str], dict[str, str]]:
    """Return the files in an archive, sorted by path; `folders` and `written` as in `Found`."""
    reader = cifar10.list_members if params.source == "cifar10" else list_members
    members = reader(archive)
    files = sorted(SeenFile(*member[:3]) for member in members if member.status != "folder")
    folders = [
        member.name
        for member in members
        if member.status == "folder" and not ignored_by(member.name)
    ]
    written = {member.name: member.written for member in members if member.written}
    return files, folders, written


def _base_name(url: str) -> str:
    """Return the file name at the end of an address, or `archive` where that has none of use.

    Longer names leave no room for what a temporary file's name has besides.
    """
    if is_web_address(url):
        name = PurePosixPath(urllib.parse.unquote(urllib.parse.urlsplit(url).path)).name
    else:
        name = local_path(url).name
    is_taken = name in ("", "..", DESCRIPTION, LABELS, FILES)
    is_odd = has_control_character(name) or len(os.fsencode(name)) > _LONGEST_NAME
    return "archive" if is_taken or is_odd else name


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
