"""Check the names of the classes, and say which classes there are."""

import unicodedata
from collections.abc import Mapping

from classifier.core.errors import UserError
from classifier.core.text import counted, has_control_character
from classifier.processing.row_names import ROW_NAMES
from classifier.processing.softmax import UNKNOWN
from classifier.sources.corrections import EXCLUDE

_MOST_CLASSES = 10  # that a line names


def check_classes(counts: Mapping[str, int]) -> None:
    """Raise UserError where two classes can hardly be told apart, or one cannot be answered.

    Args:
        counts: Number of images of each class.
    """
    if UNKNOWN in counts:
        raise UserError(
            f"a class is called {UNKNOWN}, and so is the answer for an image of no class: rename "
            f"the class, or leave its {counted(counts[UNKNOWN], 'image')} out by download.ignore."
        )
    if EXCLUDE in counts:
        raise UserError(
            f"a class is called {EXCLUDE}, which means in data/corrections.csv that an image takes "
            f"no part: rename the class, or leave its {counted(counts[EXCLUDE], 'image')} out by "
            "download.ignore."
        )
    if rows := [name for name in ROW_NAMES if name in counts]:
        raise UserError(
            f"a class is called {rows[0]!r}, and so is a row in the tables of results: rename it."
        )
    if strange := [name for name in counts if "/" in name or has_control_character(name)]:
        raise UserError(
            f"the class {strange[0]!r} has a slash or a control character in its name: rename it."
        )
    alike: dict[str, str] = {}
    for name in sorted(counts):
        if (other := alike.setdefault(_appearance(name), name)) != name:
            raise UserError(
                f"the classes {other!r} ({counted(counts[other], 'image')}) and {name!r} "
                f"({counted(counts[name], 'image')}) differ only in capital letters, spaces or "
                "their form in Unicode: give both one name."
            )


def _appearance(name: str) -> str:
    """Return what names have in common that people can hardly tell apart."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    # Of category Cf are spaces of no width and the like, which web pages and chats add.
    return " ".join("".join(c for c in folded if unicodedata.category(c) != "Cf").split())


def describe_classes(counts: Mapping[str, int], origin: str) -> str:
    """Return a line such as `2 classes: cat 10, dog 12 (from the first folder)`."""
    return f"{counted(len(counts), 'class')}: {listed(counts)} ({origin})"


def listed(counts: Mapping[str, int], most: int = _MOST_CLASSES) -> str:
    """Return the classes with their numbers of images, sorted by name, at most `most` of them."""
    shown = [f"{name} {counts[name]:,}" for name in sorted(counts)[:most]]
    more = [f"and {len(counts) - most:,} more"] if len(counts) > most else []
    return ", ".join(shown + more)
