"""The labels of the images of a source, and what is said about them."""

import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from classifier.core.errors import UserError
from classifier.core.text import counted
from classifier.sources.labelling.class_names import check_classes, describe_classes
from classifier.sources.labelling.split_names import read_split_name, splits_of_names
from classifier.sources.tables import LabelledImage, SeenFile, SplitName

_SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
# Columns of labels.csv and manifest.csv that have a meaning of their own.
_OWN_COLUMNS = frozenset(
    {"path", "class", "label", "split", "width", "height", "mode", "bytes", "sha256", "group"}
)


class KeptOut(NamedTuple):
    """Why an image takes no part: a status of files.csv, and its reason."""

    status: str
    reason: str


class Labels(NamedTuple):
    """Labels by folders, a table or a pattern.

    Attributes:
        images: The images that take part, sorted by path.
        columns: Names of their further columns.
        kept_out: Why each image that takes no part does not, by its path.
        no_files: Rows of a table for which there is no file.
        lines: What to say on the console.
    """

    images: list[LabelledImage]
    columns: list[str]
    kept_out: dict[str, KeptOut]
    no_files: list[SeenFile]
    lines: list[str]


def describe_labels(
    images: Sequence[LabelledImage], origin: str, names: Mapping[str, SplitName]
) -> list[str]:
    """Check the classes and return lines that name them and the splits.

    Args:
        images: That take part, their classes in the form of Unicode that the source has.
        origin: What says the classes, such as `from the first folder`.
        names: The split of each folder or value that gives one.

    Raises:
        UserError: The classes cannot be told apart, or there is only one.
    """
    counts = Counter(image.class_name for image in images)
    check_classes(counts)
    if len(counts) < 2:
        found = f"of one class, {next(iter(counts))}" if counts else "without a class"
        raise UserError(
            f"all images ({len(images):,}) are {found} ({origin}): put each class in a folder of "
            "its own, or give the classes by download.labels or download.pattern."
        )
    composed = {unicodedata.normalize("NFC", name): count for name, count in counts.items()}
    return [describe_classes(composed, origin), *_describe_splits(images, names)]


def _describe_splits(images: Sequence[LabelledImage], names: Mapping[str, SplitName]) -> list[str]:
    """Return lines that say which splits the data gives and which are drawn."""
    counts = Counter(image.split for image in images)
    given = [split for split in _SPLITS if counts[split]]
    missing = [split for split in _SPLITS if not counts[split]]
    if not given:
        return ["the data gives no splits: train, val and test are drawn"]
    if "train" in missing and not counts[""]:
        raise UserError(
            f"the data gives {' and '.join(given)}, but no training images: add a folder train/, "
            "or name it in download.splits."
        )
    told = ", ".join(
        f"{split} {counts[split]:,} ({', '.join(n for n in sorted(names) if names[n] == split)})"
        for split in given
    )
    lines = [f"splits: {told}"]
    drawn = [split for split in missing if split != "train"]
    if drawn:
        lines.append(f"the data gives no {' or '.join(drawn)}: drawn from train")
    if counts[""]:
        lines.append(f"{counted(counts[''], 'image')} without a split: counted as train")
    return lines


def split_of_value(value: str, source: str) -> SplitName:
    """Return the split that a value means; empty for none.

    Raises:
        UserError: The value means no split; `source` says where it comes from.
    """
    split, others = read_split_name(value)
    if value.strip() and (not split or others):
        raise UserError(
            f"{source} has the split {value!r}: write train, val or test, or leave it empty for "
            "an image whose split is to be drawn."
        )
    return split


def with_splits_of_folders(
    images: list[LabelledImage],
) -> tuple[list[LabelledImage], dict[str, SplitName]]:
    """Return the images with the splits that their outermost folders name, and these folders."""
    tops = _splits_of_tops(image.path for image in images) if images else {}
    if not tops:
        return images, {}
    placed = [
        image._replace(split=next(s for top, s in tops.items() if image.path.startswith(top)))
        for image in images
    ]
    return placed, tops


def _splits_of_tops(paths: Iterable[str]) -> dict[str, SplitName]:
    """Return the splits that the outermost folders name, below what all share; none if not all do.

    Returns:
        The split of each such folder, by its path with a slash behind it.
    """
    shared, tops = _outermost(paths)
    names = splits_of_names(tops)
    if set(names) != tops:
        return {}
    return {"/".join((*shared, name, "")): split for name, split in names.items()}


def describe_unused_splits(images: Sequence[LabelledImage]) -> list[str]:
    """Return a line where some of the outermost folders name splits, but not all of them do."""
    _, tops = _outermost(image.path for image in images) if images else ((), set())
    names = splits_of_names(tops)
    others = sorted(tops - set(names))
    if not names or not others:
        return []
    where = f"in {others[0]}/" if others[0] else "in no folder"
    return [
        f"the names of {', '.join(f'{name}/' for name in sorted(names))} do not count as splits, "
        f"since other images lie beside them, {where}: move these, or name them in download.ignore"
    ]


def _outermost(paths: Iterable[str]) -> tuple[tuple[str, ...], set[str]]:
    """Return the folders that all paths share, and the next one of each; empty where it has none.

    paths: At least one.
    """
    folders = {path.rpartition("/")[0] for path in paths}
    parts = sorted(tuple(folder.split("/")) for folder in folders)
    shared = shared_folders(parts)
    tops = {each[len(shared)] if len(each) > len(shared) else "" for each in parts}
    return shared, tops


def shared_folders(paths: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the outer folders that all paths have in common; `paths` are sorted, not empty."""
    first, last = paths[0], paths[-1]
    shared = 0
    while shared < min(len(first), len(last)) and first[shared] == last[shared]:
        shared += 1
    return first[:shared]


def written_class(name: str, path: str) -> str:
    """Return the name of a class in the form of Unicode in which a path of the source has it.

    Args:
        name: In the composed form (NFC).
        path: The part of it that says the class: its folders, or a file's name.
    """
    return name if name in path else unicodedata.normalize("NFD", name)


def with_composed_classes(images: Sequence[LabelledImage]) -> list[LabelledImage]:
    """Return the images with the names of their classes in Unicode's composed form (NFC)."""
    names = {image.class_name for image in images}
    composed = {name: sys.intern(unicodedata.normalize("NFC", name)) for name in names}
    return [
        image
        if (name := composed[image.class_name]) == image.class_name
        else image._replace(class_name=name)
        for image in images
    ]


def further_columns(names: Sequence[str]) -> list[str]:
    """Return the names under which further columns are written: none of our own, none twice."""
    written: list[str] = []
    for name in names:
        chosen = f"data_{name}" if name in _OWN_COLUMNS or not name else name
        while chosen in written:
            chosen = f"{chosen}_"
        written.append(chosen)
    return written


def describe_columns(columns: Sequence[str], group: str | None) -> list[str]:
    """Return the line about further columns, with a hint for that of what belongs together.

    Args:
        columns: Names of the further columns in the data.
        group: That of them which says what belongs together; None without.
    """
    if not columns:
        return []
    written = further_columns(columns)
    line = f"further columns: {', '.join(written)}"
    if group is None:
        return [line]
    name = written[columns.index(group)]
    return [f"{line}; name {name} in split.group_by to keep what belongs together in one split"]


def check_rows(
    problems: Mapping[tuple[str, str], Sequence[str]], on_bad_row: str, source: str
) -> None:
    """Raise UserError for problems of rows, unless they are to be skipped.

    Args:
        problems: Names by what they are of, such as a row, and what is wrong with it.
        on_bad_row: The knob of this name.
        source: What says the labels.
    """
    told = [
        f"{counted(len(names), noun)} {problem} (the first: {names[0]})"
        for (noun, problem), names in problems.items()
        if names
    ]
    if told and on_bad_row == "error":
        raise UserError(
            f"{source} and the images do not fit: {', '.join(told)}; correct them, name files in "
            "download.ignore, or set download.on_bad_row to skip, which leaves them out and lists "
            "them in data/raw/files.csv."
        )
