"""Draw names in any script: use an installed font that has their letters.

DejaVu Sans, which Matplotlib brings, comes first, so a chart whose letters it has is the same on
every machine. Others, such as Chinese and Japanese, come from a font of the system, if it has one.
"""

import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import cache

from classifier.plotting.agg import (
    Artist,
    Axes,
    Axis,
    Figure,
    FontEntry,
    FT2Font,
    Text,
    findfont,
    installed_fonts,
)

_FIRST = "DejaVu Sans"
# Draws a box for every letter there is.
_LAST_RESORT = "Last Resort"
# Spaces, control characters and marks of direction need no glyph.
_WITHOUT_GLYPH = ("Z", "C")


def drawable_names(names: Sequence[str]) -> list[str]:
    """Return the names of classes as a chart can show them.

    A name of which no installed font has all letters becomes `class 3`, with its label; a sentence
    on standard error says so, once for each list.
    """
    wanting = sorted({letter for name in names for letter in _letters(name)} - _drawable(names))
    if not wanting:
        return list(names)
    hidden = set(wanting)
    numbered = [
        f"class {label}" if hidden & _letters(name) else name for label, name in enumerate(names)
    ]
    _tell_once("".join(wanting[:8]), sum(a != b for a, b in zip(names, numbered, strict=True)))
    return numbered


def use_fallback_fonts(figure: Figure) -> None:
    """Give the texts whose letters DejaVu Sans lacks further fonts.

    Letters that no installed font has become question marks.
    """
    for text in _texts(figure):
        shown = text.get_text()
        if missing := frozenset(_letters(shown) - _charset(_FIRST)):
            families, found = _fallback(missing)
            unknown = missing - found
            text.set_text("".join("?" if letter in unknown else letter for letter in shown))
            text.set_fontfamily([_FIRST, *families])


def _texts(artist: Artist) -> Iterator[Text]:
    """Yield the texts in an artist that are drawn.

    `Figure.findobj` would make the ticks of axes that are switched off: a quarter of the time that
    a sheet of images takes.
    """
    if isinstance(artist, Text):
        yield artist
    is_off = isinstance(artist, Axes) and not artist.axison
    for child in artist.get_children():
        if not (is_off and isinstance(child, Axis)):
            yield from _texts(child)


def _drawable(names: Iterable[str]) -> frozenset[str]:
    """Return the letters of the names that DejaVu Sans or another installed font has."""
    letters = {letter for name in names for letter in _letters(name)}
    missing = frozenset(letters - _charset(_FIRST))
    return frozenset(letters - missing) | (_fallback(missing)[1] if missing else frozenset())


def _letters(text: str) -> set[str]:
    return {
        letter
        for letter in text
        # Most names are ASCII, and a look at the category takes longer.
        if not letter.isascii() and not unicodedata.category(letter).startswith(_WITHOUT_GLYPH)
    }


@cache
def _charset(family: str) -> frozenset[str]:
    return _letters_of(findfont(family))


@cache
def _letters_of(path: str) -> frozenset[str]:
    return frozenset(map(chr, FT2Font(path).get_charmap()))


@cache
def _fallback(missing: frozenset[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return as few families as have the missing letters, and those letters that they have."""
    families: list[str] = []
    found: set[str] = set()
    having = {font.name: missing & _letters_of(font.fname) for font in _candidates()}
    while having:
        # Of equals, the first by _candidates' order.
        family = max(having, key=lambda name: len(having[name] - found))
        if not having[family] - found:
            break
        families.append(family)
        found |= having.pop(family)
    return tuple(families), frozenset(found)


def _candidates() -> list[FontEntry]:
    """Return the upright fonts of the machine, those without serifs first."""
    fonts = [
        font
        for font in installed_fonts()
        if font.style == "normal" and font.size == "scalable" and _LAST_RESORT not in font.name
    ]
    # The usual weight is 400; the name decides between equals, not the order of the disk.
    return sorted(
        fonts,
        key=lambda font: ("Sans" not in font.name, "Mono" in font.name, abs(_weight(font) - 400),
                          font.name, font.fname),
    )  # fmt: skip


def _weight(font: FontEntry) -> int:
    return font.weight if isinstance(font.weight, int) else 400


@cache
def _tell_once(letters: str, count: int) -> None:
    print(
        f"charts: no installed font has the letters {letters}, so {count} class names are drawn as "
        "`class` and their label; install a font for them, such as Noto Sans CJK.",
        file=sys.stderr,
    )
