"""Shorten the names of classes so that they stay different."""

from collections import Counter
from collections.abc import Sequence
from itertools import takewhile

from classifier.plotting.figures import fitting_length, shorten


def short_names(names: Sequence[str], length: int) -> list[str]:
    """Return each name in at most `length` characters; different names stay different.

    Characters that are twice as wide, as in Chinese, count twice.
    What does not fit loses its middle, or all but the part in which names that would become the
    same differ. Names that no such part tells apart end in `#` and their index, such as `cat…#12`.
    """
    assert length > 4
    index = {name: place for place, name in reversed(list(enumerate(names)))}
    short = {name: shorten(name, length) for name in index}
    for group in _same(short):
        short |= _by_differing_part(group, min(fitting_length(name, length) for name in group))
    # A numbered name may be what another name became: then that one gets its number too.
    while groups := _same(short):
        for name in (name for group in groups for name in group):
            number = f"#{index[name]}"
            room = fitting_length(name, length) - len(number)
            short[name] = shorten(name, max(1, room)) + number
    return [short[name] for name in names]


def _same(short: dict[str, str]) -> list[list[str]]:
    """Return the groups of names that became the same."""
    counts = Counter(short.values())
    groups: dict[str, list[str]] = {text: [] for text, count in counts.items() if count > 1}
    for name, text in short.items():
        if text in groups:
            groups[text].append(name)
    return list(groups.values())


def _by_differing_part(names: list[str], length: int) -> dict[str, str]:
    """Shorten names to the part between their common beginning and end, with some of these.

    The part is of whole words, where they fit.
    """
    start = _common(names)
    end = _common([name[start:][::-1] for name in names])
    longest = max(map(len, names))
    before, after = names[0][:start], names[0][len(names[0]) - end :]
    whole = start - _letters(before[::-1]), end - _letters(after)
    if longest - sum(whole) <= length - 2:
        start, end = whole
    room = max(0, length - 2 - (longest - start - end))
    head = min(start, max(room - room // 2, room - end))
    tail = min(end, room - head)
    return {
        name: _cut(name, (head, start), (len(name) - end, len(name) - tail), length)
        for name in names
    }


def _common(names: list[str]) -> int:
    """Return the number of characters that all names begin with."""
    return sum(
        1 for _ in takewhile(lambda column: len(set(column)) == 1, zip(*names, strict=False))
    )


def _letters(text: str) -> int:
    """Return the number of letters and digits that a text begins with."""
    return sum(1 for _ in takewhile(str.isalnum, text))


def _cut(name: str, before: tuple[int, int], after: tuple[int, int], length: int) -> str:
    """Return `name` with an ellipsis for each of two ranges."""
    part = name[before[1] : after[0]]
    first = "…" if before[0] < before[1] else ""
    last = "…" if after[0] < after[1] and (part or not first) else ""
    return name[: before[0]] + first + part[: length - 2] + last + name[after[1] :]
