"""Decode every image once and sort all of them into train, val and test."""

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
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator
from tqdm import tqdm

from classifier.core.config import Params
from classifier.core.errors import UserError
from classifier.core.files import replacing, write_bytes, write_json
from classifier.data.dataset import Split
from classifier.processing.images import (
    IMAGE_SUFFIXES,
    DecodedImage,
    Preprocessing,
    Resize,
    read_image,
    without_padding,
)
from classifier.sources import archives
from classifier.sources import cifar10 as cifar
from classifier.splitting.assignment import Located, assign, locate, without_excluded, without_small
from classifier.splitting.duplicates import (
    Duplicates,
    find_pairs,
    group_pairs,
    number_groups,
    superfluous,
    telling_pairs,
)
from classifier.splitting.fingerprints import SIDE, fingerprint
from classifier.splitting.images_file import ImagesFile

MANIFEST = ("path", "class", "label", "split", "width", "height", "sha256", "group")
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


class CheckParams(Params):
    """Section `split.checks`: limits, and what happens beyond them.

    min_side, max_side: of an image file, in pixels. max_aspect_ratio: of its long side to its
    short one. min_contrast: standard deviation of the grey values, in 0..255.
    max_imbalance: of the largest class to the smallest one.
    """

    min_side: int = Field(ge=1)
    max_side: int = Field(ge=1)
    max_aspect_ratio: float = Field(ge=1)
    min_contrast: float = Field(ge=0, le=127)
    min_test_images: int = Field(ge=1)
    max_imbalance: float = Field(ge=1)
    on_warning: Literal["warn", "fail"]


class SplitParams(Params):
    """How images are chosen, stored and split."""

    seed: int = Field(ge=0, lt=2**32)
    fractions: Fractions
    stored_size: int = Field(ge=1, le=1024)
    resize: Resize
    min_images_per_class: int = Field(ge=3)  # one for each split
    exclude_classes: list[str]
    on_bad_image: Literal["error", "skip"]
    duplicates: Literal["group", "drop", "keep"]
    duplicate_similarity: float | None = Field(ge=0.5, le=1)
    checks: CheckParams


class Outcome(NamedTuple):
    """What the data set does not say itself.

    problems: path and reason of each image that could not be read, sorted by path.
    dropped: sizes of the classes that are too small.
    duplicates: images that show the same, also those that were dropped for it.
    modes, prints: colour mode `(N,)` and fingerprint `(N, SIDE, SIDE)` of each image.
    """

    problems: list[tuple[str, str]]
    dropped: dict[str, int]
    duplicates: Duplicates
    modes: np.ndarray
    prints: np.ndarray


class _Decoded(NamedTuple):
    """An image, its fingerprint and its file's SHA-256, or the reason why there is no image."""

    path: str
    sha256: bytes
    image: DecodedImage | None
    print: np.ndarray | None
    reason: str


def split(raw: Path, output: Path, params: SplitParams) -> Outcome:
    """Make the data set `output` (see `classifier.data.dataset`) from what `acquire` put in `raw`.

    Rows are sorted by path, so that the seed and the fractions change the manifest's column
    `split` and nothing else. Images pass through memory a few at a time.

    Raises UserError where the images are not fit to be split, or where one cannot be read and
    `on_bad_image` is `error`.
    """
    file, reader = _open_raw(raw)
    members = (member.name for member in reader.list_members(file))
    excluded = [unicodedata.normalize("NFC", name) for name in params.exclude_classes]
    found = without_excluded(locate(name for name in members if _is_image(name)), excluded)
    images, dropped = without_small(found, params.min_images_per_class)
    fractions = params.fractions.by_split()
    assign(images, fractions, params.seed)  # to complain now, not after an hour of decoding
    preprocessing = Preprocessing(params.stored_size, params.resize)
    rows = {image.path: row for row, image in enumerate(images)}
    facts = _no_facts(len(images))
    (output / "manifest.csv").unlink(missing_ok=True)  # written last, it says that all is there
    with replacing(output / "images.npy") as temporary, temporary.open("w+b") as opened:
        stored = ImagesFile(opened, len(images), params.stored_size)
        stream = reader.read_members(file, rows.__contains__)
        decoded = _decode_all(stream, preprocessing, len(rows))
        problems = _store(decoded, rows, stored, facts, params.on_bad_image)
        data = _Data(images, facts, stored)
        dropped |= data.keep(np.flatnonzero(facts["width"]), params.min_images_per_class)
        duplicates = _find_duplicates(data, params.duplicate_similarity)
        data.facts["group"] = duplicates.groups
        if params.duplicates == "drop":
            extra = superfluous(data.images, duplicates.groups)
            rows_left = np.setdiff1d(np.arange(len(data.images)), extra)
            dropped |= data.keep(rows_left, params.min_images_per_class)
        groups = data.facts["group"] = number_groups(data.facts["group"])
        splits = assign(
            data.images, fractions, params.seed, groups if params.duplicates == "group" else None
        )
    write_json(output / "preprocessing.json", asdict(preprocessing))
    _write_tables(output, data.images, splits, data.facts)
    return Outcome(problems, dropped, duplicates, data.facts["mode"], data.facts["print"])


class _Data:
    """The data set while it is made: its images' places, facts and pixels, row by row."""

    def __init__(self, images: list[Located], facts: np.ndarray, stored: ImagesFile) -> None:
        self.images, self.facts, self.stored = images, facts, stored

    def keep(self, rows: np.ndarray, minimum: int) -> dict[str, int]:
        """Go on with these rows alone, which ascend; the sizes of classes that are now too small.

        Those are left out as well.
        """
        if len(rows) == len(self.images):
            return {}
        chosen, small = without_small([self.images[row] for row in rows], minimum)
        kept = [row for row in rows if self.images[row].class_name not in small]
        self.stored.keep(kept)
        self.images, self.facts = chosen, self.facts[kept]
        return small


def _find_duplicates(data: _Data, similarity: float | None) -> Duplicates:
    facts, images = data.facts, data.images
    pairs = find_pairs(facts["sha256"], facts["pixels"], facts["print"], similarity)
    shown = {row for pair in telling_pairs(images, pairs) for row in (pair.first, pair.second)}
    thumbnails = {row: data.stored.read(row) for row in sorted(shown)}
    return Duplicates(images, pairs, group_pairs(pairs, len(images)), thumbnails)


def _open_raw(raw: Path) -> tuple[Path, ModuleType]:
    """The data file, and the module that reads its kind."""
    try:
        source = json.loads((raw / "source.json").read_bytes())
    except FileNotFoundError as error:
        raise UserError(f"{error.filename} is missing: run the download stage first.") from None
    return raw / source["file"], cifar if source["source"] == "cifar10" else archives


def _is_image(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def _decode_all(
    stream: Iterable[tuple[str, bytes]], preprocessing: Preprocessing, total: int
) -> Iterator[_Decoded]:
    """Decode in threads, a few images ahead; the order stays that of the stream."""
    workers = os.cpu_count() or 1
    ahead: deque[Future[_Decoded]] = deque()
    with (
        ThreadPoolExecutor(workers) as pool,
        tqdm(desc="split", total=total, unit="images", disable=None) as bar,
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
        image = read_image(content, preprocessing)
    except UserError as error:
        return _Decoded(path, digest, None, None, str(error))
    print_ = fingerprint(without_padding(image, preprocessing))
    return _Decoded(path, digest, image, print_, "")


def _no_facts(rows: int) -> np.ndarray:
    """What is known of each image, not yet filled in; width 0 means unread."""
    fields = [
        ("width", np.int32),
        ("height", np.int32),
        ("mode", "U8"),
        ("sha256", np.uint8, 32),
        ("pixels", np.uint8, 16),  # a digest of what is stored
        ("print", np.uint8, (SIDE, SIDE)),
        ("group", np.int64),
    ]
    return np.zeros(rows, fields)


def _store(
    images: Iterable[_Decoded],
    rows: dict[str, int],
    stored: ImagesFile,
    facts: np.ndarray,
    on_bad_image: Literal["error", "skip"],
) -> list[tuple[str, str]]:
    """Put each image and its facts in its row; returns path and reason of the unreadable ones."""
    problems: list[tuple[str, str]] = []
    for path, digest, image, print_, reason in images:
        if image is not None:
            row = rows[path]
            stored.write(row, image.pixels)
            pixels = hashlib.blake2b(image.pixels.tobytes(), digest_size=16).digest()
            for name, value in (
                ("width", image.width),
                ("height", image.height),
                ("mode", image.mode),
                ("sha256", np.frombuffer(digest, np.uint8)),
                ("pixels", np.frombuffer(pixels, np.uint8)),
                ("print", print_),
            ):
                facts[name][row] = value
        elif on_bad_image == "skip":
            problems.append((path, reason))
        else:
            raise UserError(
                f"{path} cannot be used: {reason} Remove it, or set split.on_bad_image to skip."
            )
    return sorted(problems)


def _write_tables(
    output: Path, images: Sequence[Located], splits: Sequence[Split], facts: np.ndarray
) -> None:
    """Write the classes and, as the last file of the data set, the manifest."""
    classes = sorted({image.class_name for image in images})
    labels = {name: label for label, name in enumerate(classes)}
    listed = json.dumps(classes, indent=2, ensure_ascii=False)
    write_bytes(output / "classes.json", f"{listed}\n".encode())
    # Row by row: a table of a million images takes far more memory than its text.
    with (
        replacing(output / "manifest.csv") as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(MANIFEST)
        for (path, name, _), split_name, fact in zip(images, splits, facts, strict=True):
            digest = fact["sha256"].tobytes().hex()
            sizes = (fact["width"], fact["height"])
            writer.writerow((path, name, labels[name], split_name, *sizes, digest, fact["group"]))
