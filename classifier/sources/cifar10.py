"""Read CIFAR-10's archive of Python batches as if it held image files, without running its code.

https://www.cs.toronto.edu/~kriz/cifar.html describes the batches: each is a pickle of a dict with
10,000 rows of 3,072 bytes (the red plane of 32 x 32, then green, then blue) and as many labels.
Like `archives`, this module offers `list_members` and `read_members`.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from classifier.core.errors import UserError
from classifier.sources import archives
from classifier.sources.archives import Member
from classifier.sources.batch_pickles import PickledArray, load_pickle

# Each image is returned as a PPM file: this header, then red, green and blue of each pixel.
_PPM_HEADER = b"P6 32 32 255\n"
_PPM_SIZE = len(_PPM_HEADER) + 3 * 32 * 32
_BATCH = re.compile(r"(?:.*/)?(data_batch_\d+|test_batch)")
_META = re.compile(r"(?:.*/)?batches\.meta")


class _Batch(NamedTuple):
    """Images (uint8 `(N, 3072)`) and their labels (N numbers)."""

    data: np.ndarray
    labels: list[int]


def list_members(path: Path) -> list[Member]:
    """Return the images as `<train or test>/<class>/<batch>_<number>.ppm`, in the archive's order.

    Raises:
        UserError: The archive is damaged, is not CIFAR-10's, or has a batch in two folders.
    """
    classes: list[str] = []
    labels: dict[str, list[int]] = {}
    seen: set[str] = set()
    for member, content in archives.read_members(path, _is_wanted):
        name = member.rpartition("/")[2]
        if name in seen:
            raise UserError(f"{path} holds {name} in two folders: remove one of them.")
        seen.add(name)
        if batch := _BATCH.fullmatch(member):
            labels[batch[1]] = _read_batch(member, content).labels
        else:
            classes = _read_classes(member, content)
    highest = max((max(part, default=-1) for part in labels.values()), default=-1)
    if not labels or highest >= len(classes):
        raise UserError(
            f"{path} holds no CIFAR-10 batches with their batches.meta: correct download.url, or "
            "set download.source to archive."
        )
    return [
        Member(_image_name(batch, index, classes[label]), _PPM_SIZE, "image")
        for batch, part in labels.items()
        for index, label in enumerate(part)
    ]


def read_members(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Yield name and content (a PPM file) of the images whose names are wanted, one by one.

    The archive is one that `list_members` accepts.

    Raises:
        UserError: As in `list_members`.
    """
    meta = archives.read_members(path, lambda name: _META.fullmatch(name) is not None)
    classes = next((_read_classes(member, content) for member, content in meta), None)
    assert classes is not None  # list_members refuses an archive without
    for member, content in archives.read_members(path, _is_wanted):
        if batch := _BATCH.fullmatch(member):
            yield from _images(batch[1], _read_batch(member, content), classes, wanted)


def _images(
    name: str, batch: _Batch, classes: list[str], wanted: Callable[[str], bool]
) -> Iterator[tuple[str, bytes]]:
    for index, label in enumerate(batch.labels):
        image = _image_name(name, index, classes[label])
        if wanted(image):
            yield image, _PPM_HEADER + batch.data[index].reshape(3, -1).T.tobytes()


def _is_wanted(member: str) -> bool:
    return _BATCH.fullmatch(member) is not None or _META.fullmatch(member) is not None


def _image_name(batch: str, index: int, class_name: str) -> str:
    folder = "test" if batch == "test_batch" else "train"
    return f"{folder}/{class_name}/{batch}_{index:05d}.ppm"


def _read_classes(member: str, content: bytes) -> list[str]:
    names = _unpickle(member, content).get(b"label_names")
    if not isinstance(names, list) or not all(isinstance(name, bytes) for name in names):
        raise UserError(f"{member} names no classes: run the download stage again.")
    classes = [name.decode("utf-8", "replace") for name in names]
    # Each becomes a folder, from which images get their class.
    for name in classes:
        if name in ("", ".", "..") or "/" in name or classes.count(name) > 1:
            raise UserError(
                f"{member} names a class {name!r} twice, or in a way that no folder can have: "
                "rename it."
            )
    return classes


def _read_batch(member: str, content: bytes) -> _Batch:
    batch = _unpickle(member, content)
    array, labels = batch.get(b"data"), batch.get(b"labels")
    data = array.pixels if isinstance(array, PickledArray) else None
    if (
        data is None
        or not isinstance(labels, list)
        or not all(isinstance(label, int) and label >= 0 for label in labels)
        or data.shape != (len(labels), 3 * 32 * 32)
    ):
        raise UserError(
            f"{member} holds no rows of 3,072 bytes with a label each, as CIFAR-10's batches do: "
            "correct download.url."
        )
    return _Batch(data, labels)


def _unpickle(member: str, content: bytes) -> dict[Any, Any]:
    try:
        loaded = load_pickle(content)
    except UserError as error:
        raise UserError(f"{member} {error}") from None
    # A damaged pickle raises exceptions of many types.
    except Exception as error:
        raise UserError(f"{member} is damaged ({error}): run the download stage again.") from error
    if not isinstance(loaded, dict):
        raise UserError(f"{member} holds no dict, as CIFAR-10's batches do: correct download.url.")
    return loaded
