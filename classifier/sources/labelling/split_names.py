"""Know the folders of splits by their usual names."""

import re
from collections.abc import Iterable

from classifier.sources.tables import SplitName

_WORDS: dict[str, SplitName] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
}
# Words that say nothing about which part of the data a folder holds.
_FILLERS = frozenset({"set", "data", "dataset", "images", "image", "imgs", "photos", "split"})


def read_split_name(name: str) -> tuple[SplitName, tuple[str, ...]]:
    """Return the split that a name means, and the other words of the name.

    `Training Set` gives `("train", ())`, `seg_train` gives `("train", ("seg",))`. A name that means
    no split, or more than one, gives `("", ())`.
    """
    words = words_of(name)
    splits: set[SplitName] = {_WORDS[_stem(word)] for word in words if _stem(word) in _WORDS}
    if len(splits) != 1:
        return "", ()
    return splits.pop(), tuple(word for word in words if _stem(word) not in _WORDS)


def splits_of_names(names: Iterable[str]) -> dict[str, SplitName]:
    """Return the split of each name that means one, for folders that lie beside each other.

    A name with other words in it, such as `seg_train`, counts only where another split has the same
    words, as `seg_test` has: `test_tube` and `bullet_train` are no splits.
    """
    read = {name: read_split_name(name) for name in names}
    partners: dict[tuple[str, ...], set[SplitName]] = {}
    for split, others in read.values():
        if split:
            partners.setdefault(others, set()).add(split)
    return {
        name: split
        for name, (split, others) in read.items()
        if split and (not others or len(partners[others]) > 1)
    }


def words_of(name: str) -> list[str]:
    """Return the words of a folder's name in small letters, but for those that say nothing."""
    words = re.split(r"[\W_]+", name.casefold())
    return [word for word in words if word and word not in _FILLERS]


def _stem(word: str) -> str:
    """Return `train` for `trainset`."""
    return word.removesuffix("set")
