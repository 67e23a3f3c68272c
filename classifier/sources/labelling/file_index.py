"""Find the file that a row of a table means by its name, with or without folder and ending."""

import posixpath
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import NamedTuple

from classifier.sources.labelling.split_names import splits_of_names
from classifier.sources.tables import SplitName


class _Cut(NamedTuple):
    """What is cut off from names of another machine.

    Attributes:
        foreign: The folders, with a slash at the end; empty for none.
        known: Those of them that are names of folders of the source, too.
        splits: That they name.
        split_names: The split of each folder, there or here, that names one.
    """

    foreign: str
    known: set[str]
    splits: set[SplitName]
    split_names: dict[str, SplitName]


class FileIndex:
    """The paths of all images, found by the end of their names.

    Args:
        paths: Of the images.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths
        self._cuts: dict[str, _Cut] = {}
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
        are folders of `split`. Where none is called train, those of no split are of train.
        """
        wanted = _normal(name)
        base = wanted.rpartition("/")[2]
        stem = posixpath.splitext(base)[0]
        places = self._at(base) if stem == base else sorted({*self._at(base), *self._at(stem)})
        found = [place for place in places if _is_end(wanted, self._paths[place])]
        exact = [place for place in found if self._paths[place] == wanted]
        if exact or not split:
            return exact or found
        in_split = [
            place for place in found if split in self._splits_of(_folders(self._paths[place]))
        ]
        has_folders = split in self._splits or (split == "train" and "" in self._splits)
        if in_split or not has_folders:
            return in_split or found
        return [place for place in found if not self._splits_of(self._unnamed(place, wanted))]

    def find_without(self, shared: str, name: str, split: str) -> list[int]:
        """Return what `find` does for a name that begins with folders of another machine.

        Cut off is the beginning of `shared` that is not in this source: of `/elsewhere/train/` that
        is `/elsewhere/` where the source has a folder `train`. A file is not meant where its
        folders contradict what is cut off: where they name another split, or where only other
        files lie in a folder of that name.

        Args:
            shared: Folders with which `name` begins, with a slash at the end.
            name: See `find`.
            split: See `find`.
        """
        cut = self._cuts.get(shared)
        if cut is None:
            cut = self._cuts[shared] = self._cut(shared)
        if not cut.foreign:
            return []
        wanted = _normal(name.removeprefix(cut.foreign))
        return [
            place for place in self.find(wanted, split) if not self._contradicts(place, wanted, cut)
        ]

    def _contradicts(self, place: int, wanted: str, cut: _Cut) -> bool:
        unnamed = self._unnamed(place, wanted)
        if not unnamed and "/" in wanted:
            return False  # a whole path
        splits = {cut.split_names[name] for name in unnamed if name in cut.split_names}
        of_other_split = bool(splits and cut.splits) and splits.isdisjoint(cut.splits)
        return of_other_split or (bool(cut.known) and cut.known.isdisjoint(unnamed))

    def _cut(self, shared: str) -> _Cut:
        foreign = self._foreign_part(shared)
        folders = set(_folders(_composed(foreign)))
        names = splits_of_names(self._folder_names | folders)
        splits: set[SplitName] = {names[name] for name in folders if name in names}
        return _Cut(foreign, self._folder_names & folders, splits, names)

    def _foreign_part(self, folders: str) -> str:
        parts = folders.split("/")[:-1]
        first = len(parts)  # of the folders that are known
        while first > 0 and _composed("/".join(parts[first - 1 :])) in self._folder_ends:
            first -= 1
        return "".join(f"{part}/" for part in parts[:first])

    @cached_property
    def _all_folders(self) -> set[str]:
        return {path.rpartition("/")[0] for path in self._paths}

    @cached_property
    def _folder_ends(self) -> set[str]:
        """All folders, and what their paths end in, from any folder on."""
        ends: set[str] = set()
        for folder in self._all_folders:
            parts = folder.split("/")
            for last in range(1, len(parts) + 1):
                ends |= {"/".join(parts[first:last]) for first in range(last)}
        return ends

    @cached_property
    def _folder_names(self) -> set[str]:
        return {name for folder in self._all_folders for name in folder.split("/") if name}

    @cached_property
    def _split_names(self) -> dict[str, SplitName]:
        """The splits of the folders that name one."""
        return splits_of_names(self._folder_names)

    @cached_property
    def _splits(self) -> set[str]:
        """The splits that have folders; empty for images in no such folder."""
        return {
            split
            for folder in self._all_folders
            for split in self._splits_of(folder.split("/")) or {""}
        }

    def _splits_of(self, folders: Iterable[str]) -> set[str]:
        """Return the splits that these folders name."""
        return {self._split_names[name] for name in folders if name in self._split_names}

    def _unnamed(self, place: int, wanted: str) -> list[str]:
        """Return the folders of an image that its name `wanted` leaves out."""
        folders = _folders(self._paths[place])
        return folders[: len(folders) - wanted.count("/")]

    def _at(self, key: str) -> list[int]:
        places = self._places.get(key, [])
        return [places] if isinstance(places, int) else places


def _normal(name: str) -> str:
    """Return a name with its folders divided by single slashes, in Unicode's composed form."""
    wanted = _composed(name.strip().replace("\\", "/"))
    if "/" in wanted:
        wanted = "/".join(part for part in wanted.split("/") if part not in ("", "."))
    return wanted


def _folders(path: str) -> list[str]:
    return path.split("/")[:-1]


def _composed(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _is_end(wanted: str, path: str) -> bool:
    end = f"/{wanted}"
    whole = f"/{path}"
    return whole.endswith(end) or posixpath.splitext(whole)[0].endswith(end)
