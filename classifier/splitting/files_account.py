"""Account for every file of the raw data: used in which split, or why not."""

from collections.abc import Iterator
from pathlib import Path

from classifier.core.files import write_rows
from classifier.data.dataset import Dataset
from classifier.sources import tables
from classifier.sources.account import describe_files
from classifier.sources.tables import SeenFile
from classifier.splitting.split import SplitResult

COLUMNS = ("path", "bytes", "status", "split", "origin", "class", "reason")
USED = "used"


def write_account(path: Path, raw: Path, dataset: Dataset, result: SplitResult) -> str:
    """Write what became of each file in data/raw/files.csv; return it in one line.

    Columns: `path, bytes, status, split, origin, class, reason`, sorted by path. The status is
    `used`, `excluded`, `dropped`, `unreadable`, `duplicate`, or, of files that the download stage
    kept out, what that says. `origin` is `given` if the data names the image's split and `drawn`
    otherwise. The reason of a used image tells a corrected label.

    Args:
        path: Of the table.
        raw: Folder of the raw data.
        dataset: The data set that was made of it.
        result: What else came of it.
    """
    ends: list[SeenFile] = []

    def rows() -> Iterator[tuple[str | int, ...]]:
        for row in _rows(raw, dataset, result):
            status = "image" if row[2] == USED else str(row[2])
            ends.append(SeenFile(str(row[0]), 0, status))
            yield row

    write_rows(path, COLUMNS, rows())
    return f"used {describe_files(ends)}"


def _rows(raw: Path, dataset: Dataset, result: SplitResult) -> Iterator[tuple[str | int, ...]]:
    names = ("path", "split", "class")
    used = zip(*(dataset.manifest[name] for name in names), strict=True)
    path, split, class_name = next(used)
    images = result.duplicates.images
    given = {image.path: image.predefined_split for image in images if image.predefined_split}
    for seen in tables.read_files(raw / tables.FILES):
        if seen.path == path:
            origin = "given" if split == given.get(path) else "drawn"
            before, why = result.relabelled.corrected.get(path, ("", ""))
            reason = f"corrected from {before}: {why}" if before else ""
            yield seen.path, seen.size, USED, split, origin, class_name, reason
            path, split, class_name = next(used, ("", "", ""))
        elif seen.status == "image":
            end = result.left_out[seen.path]
            yield seen.path, seen.size, end.status, "", "", "", end.reason
        else:
            yield seen.path, seen.size, seen.status, "", "", "", seen.reason
