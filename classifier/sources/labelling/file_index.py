"""Find the file that a row of a table means by its name, with or without folder and ending."""

import posixpath
import unicodedata
from collections.abc import Sequence
from functools import cached_property

from classifier.sources.labelling.split_names import read_split_name


class FileIndex:
    """The paths of all images, found by the end of their names.

    Args:
        paths: Of the images.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths
        # Most names are there once; a list for each would take much memory.
        self._places: dict[str, int | list[int]] = {}
        for place, path in enumerate(paths):
            key = posixpath.splitext(path.rpartition("/")[2])[0]
            before = self._places.get(key)
            if before is None:
                self._places[key] = place
            elif isinstance(before, int):
                self._places[key] = [before, place]
            else:
                before.append(place)

    def find(self, name: str, split: str) -> list[int]:
        """Return the places in `paths` of the images that `name` may mean, mostly one.

        `name` is a path, or the end of one from a folder on; it may lack the ending. A whole path
        means that image alone; otherwise, of several, those in a folder of `split` are meant. A
        file in a folder of another split, which `name` does not mention, is not meant where there
        are folders of `split`.
        """
        wanted = _composed(name.strip().replace("\\", "/"))
        if "/" in wanted:
            wanted = "/".join(part for part in wanted.split("/") if part not in ("", "."))
        base = wanted.rpartition("/")[2]
        stem = posixpath.splitext(base)[0]
        places = self._at(base) if stem == base else sorted({*self._at(base), *self._at(stem)})
        found = [place for place in places if _is_end(wanted, self._paths[place])]
        exact = [place for place in found if self._paths[place] == wanted]
        if exact or not split:
            return exact or found
        in_split = [place for place in found if split in _splits_of(self._paths[place])]
        if in_split or split not in self._splits:
            return in_split or found
        left_out = 1 + wanted.count("/")
        return [
            place
            for place in found
            if not _splits_of("/".join([*self._paths[place].split("/")[:-left_out], ""]))
        ]

    def foreign_part(self, folders: str) -> str:
        """Return the beginning of `folders`, which end in a slash, that is not in this source.

        Of `/elsewhere/train/` that is `/elsewhere/` where the source has a folder `train`.
        """
        parts = folders.split("/")[:-1]
        first = len(parts)  # of the folders that are known
        while first > 0 and _composed("/".join(parts[first - 1 :])) in self._folder_ends:
            first -= 1
        return "".join(f"{part}/" for part in parts[:first])

    @cached_property
    def _folder_ends(self) -> set[str]:
        """All folders, and what their paths end in, from any folder on."""
        ends: set[str] = set()
        for folder in {path.rpartition("/")[0] for path in self._paths}:
            parts = folder.split("/")
            for last in range(1, len(parts) + 1):
                ends |= {"/".join(parts[first:last]) for first in range(last)}
        return ends

    @cached_property
    def _splits(self) -> set[str]:
        """The splits that have folders."""
        folders = {path.rpartition("/")[0] for path in self._paths}
        return {split for folder in folders for split in _splits_of(f"{folder}/")}

    def _at(self, key: str) -> list[int]:
        places = self._places.get(key, [])
        return [places] if isinstance(places, int) else places


def _composed(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _is_end(wanted: str, path: str) -> bool:
    end = f"/{wanted}"
    whole = f"/{path}"
    return whole.endswith(end) or posixpath.splitext(whole)[0].endswith(end)


def _splits_of(path: str) -> set[str]:
    """Return the splits that the folders of a path name."""
    return {read_split_name(folder)[0] for folder in path.split("/")[:-1]} - {""}
