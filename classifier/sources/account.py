"""Say in one line what became of every file of a source."""

from collections import Counter
from collections.abc import Sequence

from classifier.core.text import counted
from classifier.sources.names import ending
from classifier.sources.tables import SeenFile

_MOST_KINDS = 8  # of files that a line names
# What a line says for a status, where that is not the status itself.
_TOLD = {
    "no row": "without row",
    "no label": "without label",
    "two labels": "with two labels",
    "no file": "rows without file",
    "ambiguous": "rows for several files",
}


def describe_files(files: Sequence[SeenFile]) -> str:
    """Return a line such as `412 images; not used: 20 .mov, 3 hidden, 1 .txt`."""
    kinds = Counter(_kind(file) for file in files)
    images = kinds.pop("image", 0)
    line = counted(images, "image")
    return f"{line}; not used: {_listed(kinds)}" if kinds else line


def _kind(file: SeenFile) -> str:
    """Return what a file is counted as: its ending if it is no image, otherwise its status."""
    if file.status == "no image":
        return ending(file.path) or "without ending"
    if file.status == "special":
        return f"special ({file.reason})" if file.reason else "special"
    return _TOLD.get(file.status, file.status)


def _listed(kinds: Counter[str]) -> str:
    # The most frequent first; equal numbers by name, so that the line is always the same.
    ordered = sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
    shown = [_counted(kind, count) for kind, count in ordered[:_MOST_KINDS]]
    if rest := sum(count for _, count in ordered[_MOST_KINDS:]):
        shown.append(f"{rest:,} more")
    return ", ".join(shown)


def _counted(kind: str, count: int) -> str:
    is_one_row = count == 1 and kind.startswith("rows ")
    return f"{count:,} {kind.replace('rows', 'row', 1) if is_one_row else kind}"
