"""Find the file that a row of a table means by its name, with or without folder and ending."""

import posixpath
import unicodedata
from collections.abc import Sequence

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
        means that image alone; otherwise, of several, those in a folder of `split` are meant.
        """
        wanted = name.strip().replace("\\", "/")
        if not wanted.isascii():
            wanted = unicodedata.normalize("NFC", wanted)
        if "/" in wanted:
            wanted = "/".join(part for part in wanted.split("/") if part not in ("", "."))
        base = wanted.rpartition("/")[2]
        stem = posixpath.splitext(base)[0]
        places = self._at(base) if stem == base else sorted({*self._at(base), *self._at(stem)})
        found = [place for place in places if _is_end(wanted, self._paths[place])]
        if len(found) < 2:
            return found
        exact = [place for place in found if self._paths[place] == wanted]
        if exact:
            return exact
        in_split = [place for place in found if split and _lies_in(self._paths[place], split)]
        return in_split or found

    def _at(self, key: str) -> list[int]:
        places = self._places.get(key, [])
        return [places] if isinstance(places, int) else places


def _is_end(wanted: str, path: str) -> bool:
    end = f"/{wanted}"
    whole = f"/{path}"
    return whole.endswith(end) or posixpath.splitext(whole)[0].endswith(end)


def _lies_in(path: str, split: str) -> bool:
    return any(read_split_name(folder)[0] == split for folder in path.split("/")[:-1])
