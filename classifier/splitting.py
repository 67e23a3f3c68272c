"""Decode every picture once and sort all of them into train, val and test."""

import csv
import hashlib
import json
import os
import unicodedata
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Annotated, BinaryIO, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator
from tqdm import tqdm

from classifier import archives, cifar
from classifier.assignment import Located, assign, locate, without_excluded, without_small
from classifier.config import Params
from classifier.dataset import Split
from classifier.errors import UserError
from classifier.files import replacing, write_bytes, write_json
from classifier.images import PICTURE_SUFFIXES, Picture, Preprocessing, Resize, read_picture

MANIFEST = ("path", "class", "label", "split", "width", "height", "sha256")
Fraction = Annotated[float, Field(gt=0, lt=1)]


class Fractions(Params):
    """Parts of each class; together 1."""

    train: Fraction
    val: Fraction
    test: Fraction

    @model_validator(mode="after")
    def _whole(self) -> "Fractions":
        total = self.train + self.val + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train, val and test must add up to 1, not to {total:g}.")
        return self

    def by_split(self) -> dict[Split, float]:
        return {"train": self.train, "val": self.val, "test": self.test}


class SplitParams(Params):
    """How pictures are chosen, stored and split."""

    seed: int = Field(ge=0, lt=2**32)
    fractions: Fractions
    image_size: int = Field(ge=1, le=1024)
    resize: Resize
    min_images_per_class: int = Field(ge=3)  # one for each split
    exclude_classes: list[str]
    on_bad_image: Literal["error", "skip"]


class Outcome(NamedTuple):
    """What became no part of the data set.

    problems: path and reason of each picture that could not be read, sorted by path.
    dropped: sizes of the classes that are too small.
    """

    problems: list[tuple[str, str]]
    dropped: dict[str, int]


class _Decoded(NamedTuple):
    """A picture and its file's SHA-256, or the reason why there is no picture."""

    path: str
    sha256: bytes
    picture: Picture | None
    reason: str


class _ImagesFile:
    """A new `.npy` file of pictures uint8 `(S, S, 3)`, which come in any order.

    Written as a file, not as a memory map, whose pages would count as this process's memory.
    """

    def __init__(self, file: BinaryIO, rows: int, size: int) -> None:
        self._file, self._size = file, size
        self._write_header(rows)
        self._start, self._stride = file.tell(), size * size * 3

    def write(self, row: int, pixels: np.ndarray) -> None:
        self._file.seek(self._start + row * self._stride)
        self._file.write(pixels.tobytes())

    def keep(self, rows: Sequence[int]) -> None:
        """Close up to these rows, which ascend."""
        for target, row in enumerate(rows):
            self._file.seek(self._start + row * self._stride)
            pixels = self._file.read(self._stride)
            self._file.seek(self._start + target * self._stride)
            self._file.write(pixels)
        self._file.truncate(self._start + len(rows) * self._stride)
        self._write_header(len(rows))
        assert self._file.tell() == self._start  # numpy leaves room for any number of rows

    def _write_header(self, rows: int) -> None:
        shape = (rows, self._size, self._size, 3)
        self._file.seek(0)
        np.lib.format.write_array_header_1_0(
            self._file, {"descr": "|u1", "fortran_order": False, "shape": shape}
        )


def split(raw: Path, output: Path, params: SplitParams) -> Outcome:
    """Make the data set `output` (see `classifier.dataset`) from what `acquire` put in `raw`.

    Rows are sorted by path, so that the seed and the fractions change the manifest's column
    `split` and nothing else. Pictures pass through memory a few at a time.

    Raises UserError where the pictures are not fit to be split, or where one cannot be read and
    `on_bad_image` is `error`.
    """
    file, reader = _open_raw(raw)
    members = (member.name for member in reader.list_members(file))
    excluded = [unicodedata.normalize("NFC", name) for name in params.exclude_classes]
    found = without_excluded(locate(name for name in members if _is_picture(name)), excluded)
    pictures, dropped = without_small(found, params.min_images_per_class)
    fractions = params.fractions.by_split()
    assign(pictures, fractions, params.seed)  # to complain now, not after an hour of decoding
    preprocessing = Preprocessing(params.image_size, params.resize)
    rows = {picture.path: row for row, picture in enumerate(pictures)}
    facts = _no_facts(len(pictures))
    (output / "manifest.csv").unlink(missing_ok=True)  # written last, it says that all is there
    with replacing(output / "images.npy") as temporary, temporary.open("w+b") as opened:
        images = _ImagesFile(opened, len(pictures), params.image_size)
        stream = reader.read_members(file, rows.__contains__)
        decoded = _decode_all(stream, preprocessing, len(rows))
        problems = _store(decoded, rows, images, facts, params.on_bad_image)
        if problems:
            readable = [pictures[row] for row in np.flatnonzero(facts["width"])]
            pictures, shrunk = without_small(readable, params.min_images_per_class)
            dropped |= shrunk
            kept = [rows[picture.path] for picture in pictures]
            images.keep(kept)
            facts = facts[kept]
        splits = assign(pictures, fractions, params.seed)
    write_json(output / "preprocessing.json", asdict(preprocessing))
    _write_tables(output, pictures, splits, facts)
    return Outcome(problems, dropped)


def _open_raw(raw: Path) -> tuple[Path, ModuleType]:
    """The data file, and the module that reads its kind."""
    try:
        source = json.loads((raw / "source.json").read_bytes())
    except FileNotFoundError as error:
        raise UserError(f"{error.filename} is missing: run the download stage first.") from None
    return raw / source["file"], cifar if source["source"] == "cifar10" else archives


def _is_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES


def _decode_all(
    stream: Iterable[tuple[str, bytes]], preprocessing: Preprocessing, total: int
) -> Iterator[_Decoded]:
    """Decode in threads, a few pictures ahead; the order stays that of the stream."""
    workers = os.cpu_count() or 1
    ahead: deque[Future[_Decoded]] = deque()
    with (
        ThreadPoolExecutor(workers) as pool,
        tqdm(desc="split", total=total, unit="pictures", disable=None) as bar,
    ):
        for path, content in stream:
            ahead.append(pool.submit(_decode, path, content, preprocessing))
            if len(ahead) > 4 * workers:
                yield ahead.popleft().result()
                bar.update()
        while ahead:
            yield ahead.popleft().result()
            bar.update()


def _decode(path: str, content: bytes, preprocessing: Preprocessing) -> _Decoded:
    digest = hashlib.sha256(content).digest()
    try:
        return _Decoded(path, digest, read_picture(content, preprocessing), "")
    except UserError as error:
        return _Decoded(path, digest, None, str(error))


def _no_facts(rows: int) -> np.ndarray:
    """What the manifest says of each picture's file, not yet filled in; width 0 means unread."""
    return np.zeros(rows, [("width", np.int32), ("height", np.int32), ("sha256", np.uint8, 32)])


def _store(
    pictures: Iterable[_Decoded],
    rows: dict[str, int],
    images: _ImagesFile,
    facts: np.ndarray,
    on_bad_image: Literal["error", "skip"],
) -> list[tuple[str, str]]:
    """Put each picture and its facts in its row; returns path and reason of the unreadable ones."""
    problems: list[tuple[str, str]] = []
    for path, digest, picture, reason in pictures:
        if picture is not None:
            images.write(rows[path], picture.pixels)
            facts[rows[path]] = (picture.width, picture.height, list(digest))
        elif on_bad_image == "skip":
            problems.append((path, reason))
        else:
            raise UserError(
                f"{path} cannot be used: {reason} Remove it, or set split.on_bad_image to skip."
            )
    return sorted(problems)


def _write_tables(
    output: Path, pictures: Sequence[Located], splits: Sequence[Split], facts: np.ndarray
) -> None:
    """Write the classes and, as the last file of the data set, the manifest."""
    classes = sorted({picture.class_name for picture in pictures})
    labels = {name: label for label, name in enumerate(classes)}
    listed = json.dumps(classes, indent=2, ensure_ascii=False)
    write_bytes(output / "classes.json", f"{listed}\n".encode())
    # Row by row: a table of a million pictures takes far more memory than its text.
    with (
        replacing(output / "manifest.csv") as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(MANIFEST)
        for (path, name, _), split_name, fact in zip(pictures, splits, facts, strict=True):
            digest = fact["sha256"].tobytes().hex()
            writer.writerow(
                (path, name, labels[name], split_name, fact["width"], fact["height"], digest)
            )
