"""Read the class and the split of each image from the folders that it lies in."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from classifier.core.errors import UserError
from classifier.core.params_edit import to_yaml
from classifier.core.text import counted
from classifier.sources.labelling.class_names import listed
from classifier.sources.labelling.labels import (
    KeptOut,
    Labels,
    describe_labels,
    shared_folders,
    with_composed_classes,
    written_class,
)
from classifier.sources.labelling.split_folders import (
    Parts,
    SplitFolders,
    by_given_names,
    by_usual_names,
)
from classifier.sources.labelling.split_names import splits_of_names
from classifier.sources.params import DownloadParams
from classifier.sources.tables import LabelledImage, SeenFile

_ORDINALS = {1: "first", 2: "second", 3: "third", -1: "innermost"}


class _Folders(NamedTuple):
    """The folders of the images.

    Attributes:
        root: Names of the folders that hold all images.
        counts: Number of images of each folder, by its names below the root.
    """

    root: Parts
    counts: dict[Parts, int]


def label_by_folders(
    files: Sequence[SeenFile],
    folders: Sequence[str],
    written: Mapping[str, str],
    params: DownloadParams,
) -> Labels:
    """Return the labels of the images among `files` that their folders say.

    Folders that contain all images are skipped, and so are those that name a split. The first
    folder below these is the class; where another reading is as good, `download.class_level`
    decides.

    Args:
        files: Sorted by path.
        folders: All folders of the source, also empty ones.
        written: Path in the source of each file whose path there is in another form of Unicode.
        params: Section `download`.

    Raises:
        UserError: The folders do not say the class of each image, or can be read in several ways.
    """
    found = _count(files)
    tops = sorted(found.counts)
    if params.splits is not None:
        splits = by_given_names(tops, {**params.splits}, found.root)
    else:
        splits = by_usual_names(
            tops, found.root, classes_may_be_called_so=params.class_level is not None
        )
    rests = _without_shared({parts: folder.rest for parts, folder in splits.folders.items()})
    counts = {parts: found.counts[parts] for parts in rests}
    level = params.class_level or _only_level(rests, counts)
    classes = _classes_at(level, rests)
    places = {"/".join((*found.root, *parts)): parts for parts in found.counts}
    images: list[LabelledImage] = []
    kept_out: dict[str, KeptOut] = {}
    for file in files:
        if file.status != "image":
            continue
        parts = places[file.path.rpartition("/")[0]]
        if parts in classes:
            split = splits.folders[parts].split
            folder = written.get(file.path, file.path).rpartition("/")[0]
            class_name = written_class(classes[parts], folder)
            images.append(LabelledImage(file.path, class_name, split))
        else:
            kept_out[file.path] = KeptOut("unlabelled", splits.unlabelled[parts])
    origin = f"from the {_ORDINALS.get(level, f'level {level}')} folder"
    lines = describe_labels(images, origin, splits.names)
    _check_empty(files, folders, found.root, classes, rests, level)
    lines += _describe_unused_splits(splits, set(classes.values()))
    lines += _describe_unlabelled(splits, found.counts)
    return Labels(with_composed_classes(images), [], kept_out, [], lines)


def _count(files: Sequence[SeenFile]) -> _Folders:
    """Count the images of each folder; raise UserError if an image lies beside the folders."""
    names = Counter(file.path.rpartition("/")[0] for file in files if file.status == "image")
    parts = sorted(tuple(name.split("/")) if name else () for name in names)
    root = shared_folders(parts)
    if len(parts) == 1:
        root = root[:-1]  # the only folder is a class
    if root in parts:
        where = "/".join(root)
        loose = next(
            file.path
            for file in files
            if file.status == "image" and file.path.rpartition("/")[0] == where
        )
        raise UserError(
            f"{loose} lies in no folder of a class: put each image in the folder of its class, "
            "give the classes by download.labels or download.pattern, or name what is to be left "
            "out in download.ignore."
        )
    return _Folders(root, {each[len(root) :]: names["/".join(each)] for each in parts})


def _without_shared(rests: Mapping[Parts, Parts]) -> dict[Parts, Parts]:
    """Return the names without the first ones that all have, as in `train/images/cat`."""
    remaining = dict(rests)
    if empty := next((parts for parts, rest in rests.items() if not rest), None):
        raise UserError(
            f"images lie in {'/'.join(empty)}/ itself, which is a split: put each in the folder "
            "of its class."
        )
    while (
        all(len(rest) > 1 for rest in remaining.values())
        and len({rest[0] for rest in remaining.values()}) == 1
    ):
        remaining = {parts: rest[1:] for parts, rest in remaining.items()}
    return remaining


def _classes_at(level: int, rests: Mapping[Parts, Parts]) -> dict[Parts, str]:
    """Return the class of each folder; raise UserError where it lies less deep than `level`."""
    place = level - 1 if level > 0 else level
    for parts, rest in rests.items():
        if not -len(rest) <= place < len(rest):
            raise UserError(
                f"download.class_level is {level}, but the images in {'/'.join(parts)}/ lie only "
                f"{len(rest)} deep: choose another level, or -1 for the innermost folder."
            )
    return {parts: rest[place] for parts, rest in rests.items()}


def _total(classes: Mapping[Parts, str], counts: Mapping[Parts, int]) -> Counter[str]:
    totals: Counter[str] = Counter()
    for parts, name in classes.items():
        totals[name] += counts[parts]
    return totals


def _only_level(rests: Mapping[Parts, Parts], counts: Mapping[Parts, int]) -> int:
    """Return the level of the classes, 1; raise UserError if another reading is as good."""
    depths = {len(rest) for rest in rests.values()}
    deeper = [*range(2, min(depths) + 1), *([-1] if len(depths) > 1 else [])]
    first = _classes_at(1, rests)
    readings = {1: first}
    for level in deeper:
        classes = _classes_at(level, rests)
        together = {(first[parts], name) for parts, name in classes.items()}
        names = set(classes.values())
        # One class is no reading, and one inner folder in each outer folder says the same twice.
        if len(names) > 1 and not len(names) == len(together) == len(set(first.values())):
            readings[level] = classes
    if len(readings) == 1:
        return 1
    told = " or ".join(
        f"{len(set(classes.values()))} classes by the {_ORDINALS.get(level, f'level {level}')} "
        f"folder ({listed(_total(classes, counts), 5)})"
        for level, classes in readings.items()
    )
    choice = " or ".join(map(str, readings))
    raise UserError(
        f"the folders can be read in several ways, as {told}: set download.class_level to {choice}"
        f"{_splits_question(rests)}."
    )


def _splits_question(rests: Mapping[Parts, Parts]) -> str:
    """Return the question whether the outer folders are splits; empty if they cannot be."""
    inner: dict[str, set[str]] = {}
    for rest in rests.values():
        inner.setdefault(rest[0], set()).update(rest[1:2])
    if not 2 <= len(inner) <= 3 or not set.intersection(*inner.values()):
        return ""
    names = sorted(inner)
    example = to_yaml(dict(zip(("train", "test", "val"), names, strict=False)))
    shown = " and ".join(f"{name}/" for name in names)
    return f"; or, if {shown} are splits, name them in download.splits: {example}"


def _check_empty(
    files: Sequence[SeenFile],
    folders: Sequence[str],
    root: Parts,
    classes: Mapping[Parts, str],
    rests: Mapping[Parts, Parts],
    level: int,
) -> None:
    """Raise UserError if a folder that lies beside those of the classes holds no image."""
    known = set(classes.values())
    place = level - 1 if level > 0 else level
    parents: set[Parts] = set()
    full: set[Parts] = set()  # every folder that holds an image, however deep
    for parts, rest in rests.items():
        if parts[len(parts) - len(rest) :] != rest:  # a split lies below the class
            continue
        depth = len(root) + len(parts) - len(rest) + (place if place >= 0 else len(rest) + place)
        whole = (*root, *parts)
        parents.add(whole[:depth])
        full.update(whole[: length + 1] for length in range(len(whole)))
    below = Counter(
        file.path.rpartition("/")[0] for file in files if file.status in ("image", "no image")
    )
    around = {folder for name in {*folders, *below} for folder in _with_parents(name)}
    for name in sorted(around):
        parts = tuple(name.split("/"))
        if parts in full or parts[:-1] not in parents or parts[-1] in known:
            continue
        others = sum(
            count for folder, count in below.items() if f"{folder}/".startswith(f"{name}/")
        )
        if others:
            holds = f"{counted(others, 'file')} but no image"
            remedy = "add images, or remove it or name it in download.ignore"
        else:  # clones lack an empty folder, and would look for its name in vain
            holds = "nothing"
            remedy = "add images, remove it or, in an archive, name it in download.ignore"
        raise UserError(
            f"the folder {name}/ lies beside those of the classes, and holds {holds}: {remedy}."
        )


def _with_parents(name: str) -> list[str]:
    """Return the name of a folder and of those around it, without the outermost, the empty one."""
    parts = name.split("/") if name else []
    return ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]


def _describe_unused_splits(splits: SplitFolders, classes: set[str]) -> list[str]:
    """Return a line where folders are called like two splits, but no split comes from folders."""
    names = splits_of_names({name for parts in splits.folders for name in parts} - classes)
    if splits.names or len(set(names.values())) < 2:
        return []
    return [
        f"the names of {', '.join(f'{name}/' for name in sorted(names))} do not count as splits, "
        "since not all images lie in such folders: name the folders of each split in "
        "download.splits, or what is to be left out in download.ignore"
    ]


def _describe_unlabelled(splits: SplitFolders, counts: Mapping[Parts, int]) -> list[str]:
    totals: Counter[str] = Counter()
    for parts, reason in splits.unlabelled.items():
        totals[reason] += counts[parts]
    return [
        f"{counted(count, 'image')} left out: {reason}; `classifier predict` can answer later"
        for reason, count in sorted(totals.items())
    ]
