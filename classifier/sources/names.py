"""Names of files in archives and folders: one spelling, and the rules that keep files out."""

import posixpath
import unicodedata
from typing import Literal

from classifier.core.errors import UserError
from classifier.core.text import has_control_character

_MACOS_ICON = "Icon\r"  # the name of the file that holds a folder's own icon
# Files and folders that systems and their programs add, in small letters: macOS (with archives that
# it packs), Windows, Linux, and the storage devices of Synology and QNAP.
_SYSTEM_NAMES = frozenset(
    {"__macosx", ".ds_store", _MACOS_ICON.lower(), ".spotlight-v100", ".trashes", ".fseventsd"}
    | {"thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"}
    | {"lost+found", "@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot"}
)
# What is said of a name that stands twice.
TWO_FORMS = (
    "twice, in two forms of Unicode that look the same: rename one of the two files, or its folder."
)


def clean_name(name: str) -> str:
    """Return `name` without `./` and empty parts, in Unicode's composed form (NFC).

    macOS stores `é` as two characters, other systems as one; in NFC both are the same name.

    Raises:
        UserError: See `plain_name`.
    """
    return unicodedata.normalize("NFC", plain_name(name))


def plain_name(name: str) -> str:
    """Return `name` without `./` and empty parts, in its own form of Unicode.

    Raises:
        UserError: The name is absolute, contains `..`, is not UTF-8, or contains a line break or
            another control character, which breaks tables and terminals.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts:
        raise UserError(f"the name {name!r} points out of its archive: pack the images again.")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise UserError(f"the name {name!r} is not UTF-8: rename the file.") from None
    if has_control_character(name) and parts[-1:] != [_MACOS_ICON]:
        raise UserError(f"the name {name!r} holds a control character: rename the file.")
    return "/".join(parts)


def ignored_by(name: str) -> Literal["hidden", "system", ""]:
    """Return the rule that keeps the file with this cleaned `name` out; empty where none does.

    `system`: the file or a folder around it is one that systems add by themselves. `hidden`: its
    name or that of a folder around it begins with a dot.
    """
    rule = ""
    for part in name.split("/"):
        if part.lower() in _SYSTEM_NAMES:
            return "system"
        if part.startswith("."):
            rule = "hidden"
    return rule


def ending(name: str) -> str:
    """Return the ending of a file's name in small letters, such as `.jpg`; empty if it has none."""
    return posixpath.splitext(name)[1].lower()
