"""Find the folders that say which split an image belongs to."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from classifier.core.errors import UserError
from classifier.sources.labelling.split_names import read_split_name, splits_of_names, words_of
from classifier.sources.tables import SplitName

# Words in the names of folders whose images have no labels.
_PREDICTION_WORDS = frozenset({"pred", "predict", "prediction", "unlabeled", "unlabelled"})
# The names of the folders around an image, from the outside in.
Parts = tuple[str, ...]


class Placed(NamedTuple):
    """A folder without the names that say its split: what remains says its class."""

    split: SplitName
    rest: Parts


class SplitFolders(NamedTuple):
    """What the folders say about splits.

    Attributes:
        folders: Split and remaining names of each folder whose images have a class.
        unlabelled: Folders whose images take no part, each with the reason.
        names: The split of each folder that gives one, by its name.
    """

    folders: dict[Parts, Placed]
    unlabelled: dict[Parts, str]
    names: dict[str, SplitName]


def by_usual_names(
    folders: Sequence[Parts], root: Parts, *, classes_may_be_called_so: bool
) -> SplitFolders:
    """Find the splits of `folders`, which lie below `root`, by the names that they mostly have.

    Raises:
        UserError: Some folders are of splits and others are not, or what are called splits hold no
            folders of classes (unless `classes_may_be_called_so`).
    """
    none = SplitFolders({parts: Placed("", parts) for parts in folders}, {}, {})
    names = splits_of_names({parts[0] for parts in folders})
    inner = _inner_layer(folders)
    if not names:
        return inner or none
    tops: dict[str, list[Parts]] = {}
    for parts in folders:
        tops.setdefault(parts[0], []).append(parts)
    flat = {top for top, inside in tops.items() if _is_flat(inside)}
    if flat >= set(names):
        if classes_may_be_called_so:
            return none
        raise UserError(_flat_sentence(sorted(names)))
    found = SplitFolders({}, {}, names)
    for top, inside in tops.items():
        if top in names and top not in flat:
            found.folders.update(_below_split(inside, names[top], root))
    _keep_out(found, tops, flat, root)
    return found


def by_given_names(
    folders: Sequence[Parts], given: Mapping[SplitName, Sequence[str]], root: Parts
) -> SplitFolders:
    """Find the splits of `folders`, which lie below `root`, by the names in download.splits.

    A name is that of a folder, or several names that follow each other. Folders that have none of
    the names are kept out.

    Raises:
        UserError: A name is that of no folder, or a folder has two of the names.
    """
    found = SplitFolders({}, {}, {})
    for parts in folders:
        whole = (*root, *parts)
        hits: list[tuple[SplitName, str, int]] = [
            (split, name, place)
            for split, names in given.items()
            for name in names
            if (place := _find(whole, tuple(name.strip("/").split("/")))) is not None
        ]
        if len({split for split, _, _ in hits}) > 1:
            raise UserError(
                f"download.splits puts the folder {_shown(root, parts)} into two splits: name each "
                "folder once."
            )
        if hits:
            split, name, place = max(hits, key=lambda hit: len(hit[1]))
            length = len(name.strip("/").split("/"))
            found.names[name] = split
            before, after = whole[len(root) : place], whole[max(place + length, len(root)) :]
            found.folders[parts] = Placed(split, before + after)
        else:
            found.unlabelled[parts] = f"download.splits does not name {parts[0]}/"
    missing = [name for names in given.values() for name in names if name not in found.names]
    if missing:
        tops = ", ".join(sorted({parts[0] for parts in folders})[:10])
        raise UserError(
            f"download.splits names {', '.join(missing)}, but no images lie in such a folder; the "
            f"folders are {tops}."
        )
    return found


def _keep_out(
    found: SplitFolders, tops: Mapping[str, list[Parts]], flat: set[str], root: Parts
) -> None:
    """Add the folders without classes to `unlabelled`, such as the test images of a competition."""
    classes = {folder.rest[0] for folder in found.folders.values() if folder.split == "train"} or {
        folder.rest[0] for folder in found.folders.values()
    }
    for top, inside in tops.items():
        split = found.names.get(top)
        inner = {found.folders[parts].rest for parts in inside if parts in found.folders}
        # The images of test/ in one folder more, as in test/unknown/: that is no class.
        wrapped = split not in (None, "train") and len(inner) == 1 < len(classes)
        reason = f"{top}/ has no folders of classes"
        if top in flat and split != "train" and (split or _is_for_prediction(top, found.names)):
            found.unlabelled.update(dict.fromkeys(inside, reason))
        elif wrapped and len(one := inner.pop()) == 1 and one[0] not in classes:
            for parts in inside:
                found.unlabelled[parts] = reason
                del found.folders[parts]
        elif split is None or top in flat:
            example = next(iter(found.folders))
            raise UserError(
                f"images in {_shown(root, inside[0])}/ are in no folder of a split and a class, as "
                f"those in {_shown(root, example)}/ are: put all images below train/, val/ or "
                "test/, each in the folder of its class, or none of them; or name the folders of "
                "the splits in download.splits, or what is to be left out in download.ignore."
            )


def _is_for_prediction(name: str, splits: Iterable[str]) -> bool:
    """Return whether the folder `name` beside `splits` holds images without labels, by its name."""
    words = set(words_of(name))
    return bool(words & _PREDICTION_WORDS) or any(
        words & set(read_split_name(split)[1]) for split in splits
    )


def _is_flat(inside: Sequence[Parts]) -> bool:
    """Return whether a folder holds no folder but, at most, one of its own name."""
    return all(len(parts) == 1 or parts[1:] == parts[:1] for parts in inside)


def _below_split(inside: Sequence[Parts], split: SplitName, root: Parts) -> dict[Parts, Placed]:
    """Return the folders of a split, without its name; some archives hold it twice."""
    depth = 1
    while (
        all(len(parts) > depth + 1 for parts in inside)
        and len({parts[depth] for parts in inside}) == 1
        and read_split_name(inside[0][depth])[0] == split
    ):
        depth += 1
    if loose := next((parts for parts in inside if len(parts) == depth), None):
        raise UserError(
            f"images lie in {_shown(root, loose)}/ itself, beside the folders of the classes: move "
            "them into the folder of their class, or name them in download.ignore."
        )
    return {parts: Placed(split, parts[depth:]) for parts in inside}


def _inner_layer(folders: Sequence[Parts]) -> SplitFolders | None:
    """Return what a layer of split folders says that lies below others, as in `cat/train/`."""
    for level in range(1, min(map(len, folders))):
        here = {parts[level] for parts in folders}
        names = splits_of_names(here)
        if set(names) == here and len(set(names.values())) > 1:
            return SplitFolders(
                {
                    parts: Placed(names[parts[level]], parts[:level] + parts[level + 1 :])
                    for parts in folders
                },
                {},
                names,
            )
    return None


def _shown(root: Parts, parts: Parts) -> str:
    """Return the path of a folder below `root`."""
    return "/".join((*root, *parts))


def _find(parts: Parts, wanted: Parts) -> int | None:
    """Return where the names `wanted` follow each other in `parts`."""
    places = range(len(parts) - len(wanted) + 1)
    return next((i for i in places if parts[i : i + len(wanted)] == wanted), None)


def _flat_sentence(names: Sequence[str]) -> str:
    shown = " and ".join(f"{name}/" for name in names)
    verb = "hold" if len(names) > 1 else "holds"
    return (
        f"{shown} {verb} images without a folder for each class: make these folders, or give the "
        f"classes by download.labels or download.pattern; if {' and '.join(names)} "
        f"{'are classes' if len(names) > 1 else 'is a class'}, set download.class_level to 1."
    )
