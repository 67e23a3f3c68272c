"""Leave out the files and folders that download.ignore names."""

import re
from collections.abc import Sequence

from classifier.core.errors import UserError
from classifier.sources.tables import SeenFile


def ignore_files(
    files: Sequence[SeenFile], folders: Sequence[str], patterns: Sequence[str]
) -> tuple[list[SeenFile], list[str]]:
    """Give the files that a pattern fits the status `ignored`; drop the folders that one fits.

    A pattern fits a name, also that of a folder around a file, or a path of several names; `*`
    stands for any letters but the slash.

    Raises:
        UserError: A pattern fits nothing.
    """
    if not patterns:
        return list(files), list(folders)
    compiled = [re.compile(f"(?:^|/){_expression(pattern)}(?:/|$)") for pattern in patterns]
    unused = set(patterns)

    def fits(name: str) -> bool:
        hits = [p for p, search in zip(patterns, compiled, strict=True) if search.search(name)]
        unused.difference_update(hits)
        return bool(hits)

    left = [folder for folder in folders if not fits(folder)]
    marked = [
        file._replace(status="ignored")
        if file.status in ("image", "no image") and fits(file.path)
        else file
        for file in files
    ]
    if unused:
        raise UserError(
            f"download.ignore names {', '.join(sorted(unused))}, but there is no such file or "
            "folder: correct the name."
        )
    return marked, left


def _expression(pattern: str) -> str:
    parts = re.split(r"([*?])", pattern.strip("/"))
    return "".join({"*": "[^/]*", "?": "[^/]"}.get(part, re.escape(part)) for part in parts)
