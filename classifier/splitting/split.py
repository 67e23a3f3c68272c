"""Build the data set: decode every image once, find duplicates, and assign images to splits."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from classifier.core.errors import UserError
from classifier.core.files import replacing, write_bytes, write_json
from classifier.core.shards import shards_of
from classifier.data.dataset import Split
from classifier.processing.images import Preprocessing
from classifier.sources.corrections import Correction
from classifier.splitting.assignment import assign, expected_sizes
from classifier.splitting.decoding.decoded_shards import decode
from classifier.splitting.decoding.raw_files import RawFiles, hash_images, open_raw
from classifier.splitting.duplicates.pairs import (
    MAX_SHOWN_PAIRS,
    Duplicates,
    find_pairs,
    group_pairs,
    redundant,
    sort_for_people,
)
from classifier.splitting.groups import check_columns, column_groups, join_groups
from classifier.splitting.image_table import ImageTable
from classifier.splitting.params import SplitParams
from classifier.splitting.raw_images import RawImage, read_labels
from classifier.splitting.relabelling import Relabelled
from classifier.splitting.selection import LeftOut, Selection, reasons, select_images, too_small

MANIFEST = ("path", "class", "label", "split", "width", "height", "mode", "bytes")
MANIFEST += ("sha256", "group")


class SplitResult(NamedTuple):
    """Results of splitting that the data set itself does not hold.

    Attributes:
        problems: Path and reason of each image that could not be read, sorted by path.
        dropped: Sizes of the classes that are too small, by name.
        untrained: Sizes of the classes that were left out for having no training image.
        duplicates: All of them, also images that were dropped as duplicates.
        modes: Colour mode of each image, str `(N,)`.
        thumbnails: uint8 `(N, SIDE, SIDE)`.
        largest: Largest value of each image of more than 8 bits a value, int64 `(N,)`; 0 elsewhere.
        expected: Number of images of each class and split if there were no groups.
        complaints: Path and warning of the decoder, sorted by path.
        relabelled: What data/corrections.csv has changed.
        left_out: Why each image with a label that is not in the data set is not, by path.
        given: The splits that the data gives; the others are drawn, from train if it is given.
    """

    problems: list[tuple[str, str]]
    dropped: dict[str, int]
    untrained: dict[str, int]
    duplicates: Duplicates
    modes: np.ndarray
    thumbnails: np.ndarray
    largest: np.ndarray
    expected: Mapping[tuple[str, Split], int]
    complaints: list[tuple[str, str]]
    relabelled: Relabelled
    left_out: dict[str, LeftOut]
    given: set[Split]


def split(
    raw: Path, output: Path, params: SplitParams, corrections: Sequence[Correction] = ()
) -> SplitResult:
    """Build the data set `output` (see `classifier.data.dataset`) from the files in `raw`.

    Rows are sorted by path, so that the seed and the fractions change the manifest's column
    `split` and nothing else. Only a few decoded images are in memory at once.

    Args:
        raw: Folder that `acquire` has written.
        output: Folder of the data set.
        params: Section `split`.
        corrections: Of the labels.

    Raises:
        UserError: The images cannot be split, or one cannot be read and `on_bad_image` is `error`.
    """
    files = open_raw(raw)
    labelled, columns = read_labels(raw)
    check_columns(params.group_by, columns)
    selected, digests = _select(files, labelled, corrections, params)
    images = selected.images
    preprocessing = Preprocessing(
        params.stored_size, params.resize, params.white_level, params.max_pixels
    )
    output.mkdir(parents=True, exist_ok=True)
    # It is written last: with it the data set is complete.
    (output / "manifest.csv").unlink(missing_ok=True)
    table, problems = _decode(files, images, digests, preprocessing)
    _check_problems(problems, params)
    dropped = selected.dropped | table.keep_readable(params.min_images_per_class)
    duplicates = _find_duplicates(table, params)
    _write_duplicate_images(output / "duplicate_images.npy", table, duplicates)
    copies, small = _drop_redundant(table, duplicates, params)
    table.write_images(output)
    together = _mark_groups(table, [columns.index(name) for name in params.group_by], params)
    keys = [digest.tobytes() for digest in table.facts["sha256"]]
    splits = assign(table.images, keys, params, together)
    described = asdict(preprocessing) | {"shards": files.shards}
    write_json(output / "preprocessing.json", described)
    _write_tables(output, table.images, splits, table.facts, columns)
    left_out = selected.left_out | reasons(images, table.images, "dropped", too_small(params))
    left_out |= {path: LeftOut("unreadable", reason) for path, reason in problems} | copies
    facts = table.facts
    return SplitResult(
        problems=problems,
        dropped=dropped | small,
        untrained=selected.untrained,
        duplicates=duplicates,
        modes=facts["mode"],
        thumbnails=facts["thumbnail"],
        largest=facts["largest"],
        expected=expected_sizes(table.images, params),
        complaints=table.complaints(),
        relabelled=selected.relabelled,
        left_out=left_out,
        given={image.predefined_split for image in table.images if image.predefined_split},
    )


def _select(
    files: RawFiles,
    labelled: list[RawImage],
    corrections: Sequence[Correction],
    params: SplitParams,
) -> tuple[Selection, Mapping[str, bytes]]:
    """Return the images that take part, and the SHA-256 digests of at least these, by path."""
    digests: dict[str, bytes] = {}

    def hash_labelled() -> dict[str, str]:
        digests.update(hash_images(files, [image.path for image in labelled]))
        return {path: digest.hex() for path, digest in digests.items()}

    selected = select_images(labelled, corrections, hash_labelled, params)
    return selected, digests or hash_images(files, [image.path for image in selected.images])


def _decode(
    files: RawFiles,
    images: list[RawImage],
    digests: Mapping[str, bytes],
    preprocessing: Preprocessing,
) -> tuple[ImageTable, list[tuple[str, str]]]:
    """Return the decoded images, and path and reason of each that cannot be read, by path."""
    listed = [(image.path, digests[image.path]) for image in images]
    shard_of = shards_of([image.path for image in images], files.shards)
    shards = decode(files, listed, shard_of, preprocessing)
    table = ImageTable(images, shard_of, shards, preprocessing.stored_size)
    return table, sorted(problem for shard in shards for problem in shard.problems)


def _check_problems(problems: Sequence[tuple[str, str]], params: SplitParams) -> None:
    """Raise UserError if an image cannot be read and `on_bad_image` is `error`."""
    if problems and params.on_bad_image == "error":
        path, reason = problems[0]
        raise UserError(
            f"{path} cannot be used: {reason} Remove it, or set split.on_bad_image to skip."
        )


def _find_duplicates(table: ImageTable, params: SplitParams) -> Duplicates:
    """Find all duplicates, in the order of `sort_for_people`."""
    facts = table.facts
    similarity, search = params.duplicate_similarity, params.duplicate_search
    pairs = find_pairs(facts["sha256"], facts["pixels"], facts["thumbnail"], similarity, search)
    groups = group_pairs(pairs, len(table.images))
    return Duplicates(table.images, sort_for_people(table.images, pairs), groups)


def _write_duplicate_images(path: Path, table: ImageTable, duplicates: Duplicates) -> None:
    """Write the images of the first pairs, for the report: uint8 `(n, 2, S, S, 3)`.

    The data set lacks some of them if `split.duplicates` is `drop`.
    """
    pairs = duplicates.pairs[:MAX_SHOWN_PAIRS]
    pixels = table.read_pixels([row for pair in pairs for row in (pair.first, pair.second)])
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, pixels.reshape(len(pairs), 2, *pixels.shape[1:]))


def _drop_redundant(
    table: ImageTable, duplicates: Duplicates, params: SplitParams
) -> tuple[dict[str, LeftOut], dict[str, int]]:
    """Set the group of each image; drop redundant images if `split.duplicates` is `drop`.

    Returns:
        The images that were dropped, by path, and the sizes of the classes that are then too small
        and are dropped, by name.
    """
    images, groups = table.images, duplicates.groups
    table.facts["group"] = groups
    if params.duplicates != "drop":
        return {}, {}
    extra = redundant(images, groups)
    remaining = np.setdiff1d(np.arange(len(images)), extra)
    kept = {groups[row]: images[row].path for row in remaining if groups[row]}
    dropped = {images[row].path: LeftOut("duplicate", f"of {kept[groups[row]]}") for row in extra}
    return dropped, table.keep(remaining, params.min_images_per_class)


def _mark_groups(table: ImageTable, group_by: Sequence[int], params: SplitParams) -> np.ndarray:
    """Join the groups of duplicates with those of columns; return who must be in one split.

    The manifest has the joined groups. With `duplicates: keep`, copies may be in different splits.

    Args:
        table: Its groups are those of duplicates; they become the joined ones.
        group_by: Places of the columns of `split.group_by`.
        params: Section `split`.
    """
    size, copies = len(table.images), table.facts["group"].copy()
    own = [column_groups(table.images, place) for place in group_by]
    table.facts["group"] = join_groups([copies, *own], size)
    return join_groups(own, size) if params.duplicates == "keep" else table.facts["group"]


def _write_tables(
    output: Path,
    images: Sequence[RawImage],
    splits: Sequence[Split],
    facts: np.ndarray,
    columns: Sequence[str],
) -> None:
    """Write the classes and, as the last file of the data set, the manifest.

    `columns` names the further columns of the images, which follow the manifest's own.
    """
    classes = sorted({image.class_name for image in images})
    labels = {name: label for label, name in enumerate(classes)}
    listed = json.dumps(classes, indent=2, ensure_ascii=False)
    write_bytes(output / "classes.json", f"{listed}\n".encode())
    # Row by row: a data frame of a million images takes far more memory than its text.
    with (
        replacing(output / "manifest.csv") as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow((*MANIFEST, *columns))
        for image, split_name, fact in zip(images, splits, facts, strict=True):
            name, digest = image.class_name, fact["sha256"].tobytes().hex()
            place = (image.path, name, labels[name], split_name)
            file_facts = (fact["width"], fact["height"], fact["mode"], fact["bytes"])
            writer.writerow((*place, *file_facts, digest, fact["group"], *image.columns))
