"""Names and numbers in sentences: characters that break tables and terminals, plurals."""

import unicodedata
from collections.abc import Sequence


def has_control_character(name: str) -> bool:
    """Return whether a name holds a line break or another character that moves the cursor."""
    # A fast test first: only names with strange characters are looked at letter by letter.
    return not name.isprintable() and any(unicodedata.category(letter) == "Cc" for letter in name)


def escape_name(name: str) -> str:
    r"""Return a name with control characters written as in Python, such as `\n` and `\x1b`.

    A name may hold line breaks, sequences that steer a terminal, and bytes that are no text.
    """
    return "".join(
        character.encode("unicode_escape").decode("ascii")
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
        else character
        for character in name
    )


def one_line(text: str) -> str:
    """Return a text without the spaces around it; a line break becomes a space."""
    if text.isprintable():
        return text.strip()
    return " ".join(part.strip() for part in text.splitlines()).strip()


def listed(names: Sequence[str], most: int = 20) -> str:
    """Return names with commas between them; of more than `most`, the number of the others."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, such as `1 image`, `2,000 images` or `2 classes`."""
    ending = "es" if noun.endswith("s") else "s"
    return f"{count:,} {noun}{'' if count == 1 else ending}"
