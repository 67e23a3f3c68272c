import datetime
import io
import os
import pickle
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders.images import CIFAR_CLASSES, cifar_batch, cifar_members, write_archive

from classifier.core.errors import UserError
from classifier.processing.images import Preprocessing, read_image
from classifier.sources.archives import Member
from classifier.sources.cifar10 import list_members, read_members


def archive_with(folder: Path, **changes: bytes) -> Path:
    """A CIFAR-10 archive in which some members have other contents."""
    members = cifar_members()
    for name, content in changes.items():
        members[f"cifar-10-batches-py/{name.replace('batches_meta', 'batches.meta')}"] = content
    return write_archive(folder / "cifar.tar.gz", members)


def pixels_of(batch: dict[bytes, Any], row: int) -> np.ndarray:
    """Pixels `(32, 32, 3)` of a batch's image, by CIFAR-10's own description."""
    planes = batch[b"data"][row].reshape(3, 32, 32)
    return np.stack([planes[0], planes[1], planes[2]], axis=-1)


def test_images_lie_in_folders_of_split_and_class(tmp_path: Path) -> None:
    path = archive_with(tmp_path)
    members = list_members(path)
    names = [member.name for member in members]
    assert len(names) == len(set(names)) == 24 + 9 + 24
    assert names[:4] == [
        "train/airplane/data_batch_1_00000.ppm",
        "train/cat/data_batch_1_00001.ppm",
        "train/ship/data_batch_1_00002.ppm",
        "train/airplane/data_batch_1_00003.ppm",
    ]
    assert sum(name.startswith("test/") for name in names) == 9
    contents = list(read_members(path, lambda _: True))
    assert [Member(name, len(content), "image") for name, content in contents] == members


@pytest.mark.parametrize(
    ("name", "batch", "row"),
    [
        ("train/cat/data_batch_2_00007.ppm", cifar_batch(24, 2), 7),
        ("test/ship/test_batch_00008.ppm", cifar_batch(9, 3), 8),
    ],
)
def test_pixels_are_those_of_the_batch(
    tmp_path: Path, name: str, batch: dict[bytes, Any], row: int
) -> None:
    path = archive_with(tmp_path)
    ((found, content),) = read_members(path, lambda member: member == name)
    assert found == name
    image = read_image(content, Preprocessing(32, "crop"))
    np.testing.assert_array_equal(image.pixels, pixels_of(batch, row))


def python_2_pickle(content: object) -> bytes:
    """`content` as Python 2 and the numpy of its time, which made the public archive, wrote it."""

    def save_text(pickler: Any, text: bytes | str) -> None:
        encoded = text if isinstance(text, bytes) else text.encode("latin1")
        pickler.write(pickle.BINSTRING + len(encoded).to_bytes(4, "little") + encoded)

    buffer = io.BytesIO()
    pickler: Any = pickle._Pickler(buffer, protocol=2)
    pickler.dispatch = pickler.dispatch | {bytes: save_text, str: save_text}
    pickler.dump(content)
    return buffer.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def test_batches_of_python_2_and_old_numpy_are_read(tmp_path: Path) -> None:
    expected = dict(read_members(archive_with(tmp_path), lambda _: True))
    content = python_2_pickle(cifar_batch(24, 1))
    assert b"numpy.core.multiarray" in content
    assert b"_codecs" not in content
    path = archive_with(tmp_path, data_batch_1=content)
    assert dict(read_members(path, lambda _: True)) == expected


class Evil:
    def __init__(self, function: Any, *arguments: object) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.arguments


@pytest.mark.parametrize(
    ("evil", "name"),
    [
        (Evil(os.system, "touch hacked"), r"(posix|nt)\.system"),
        (Evil(eval, "open('hacked', 'w')"), r"(builtins|__builtin__)\.eval"),
        (Evil(np.load, "hacked"), r"numpy\.load"),
        (datetime.date(2020, 1, 1), r"datetime\.date"),
    ],
)
def test_anything_but_data_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, evil: object, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    batch = cifar_batch(24, 1) | {b"labels": evil}
    path = archive_with(tmp_path, data_batch_1=pickle.dumps(batch, protocol=2))
    with pytest.raises(UserError, match=f"data_batch_1 wants to call {name}, which no CIFAR-10"):
        list_members(path)
    assert not (tmp_path / "hacked").exists()


@pytest.mark.parametrize("encoding", ["zlib_codec", "rot13"])
def test_bytes_come_of_one_encoding_only(tmp_path: Path, encoding: str) -> None:
    content = pickle.dumps(cifar_batch(24, 1), protocol=2)
    frame = len(encoding).to_bytes(4, "little") + encoding.encode()
    content = content.replace(b"\x06\0\0\0latin1", frame)
    with pytest.raises(UserError, match=f"data_batch_1 is damaged .+{encoding}"):
        list_members(archive_with(tmp_path, data_batch_1=content))


def test_pickle_cannot_change_what_it_calls(tmp_path: Path) -> None:
    """`_codecs.encode` with a state, which would set `__defaults__` of a function."""
    evil = b"\x80\x02c_codecs\nencode\n(N}U\x0c__defaults__U\x06latin1stb."
    with pytest.raises(UserError, match=r"data_batch_1 is damaged .+a state for what has none"):
        list_members(archive_with(tmp_path, data_batch_1=evil))
    assert list_members(archive_with(tmp_path))


@pytest.mark.parametrize(
    "evil",
    [
        b"\x80\x02Nr\xff\xff\xff\x1f.",  # remembered under a large number
        b"\x80\x04\x95\xff\xff\xff\xff\x00\x00\x00\x00N.",  # a frame of 4 GB
        b"\x80\x04\x8e\xff\xff\xff\xff\x00\x00\x00\x00.",  # as many bytes
        b"\x80\x05\x96\xff\xff\xff\xff\x00\x00\x00\x00.",  # as many that can be changed
    ],
)
def test_few_bytes_take_little_memory(tmp_path: Path, evil: bytes) -> None:
    path = archive_with(tmp_path, data_batch_1=evil)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match="data_batch_1 is damaged"):
        list_members(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_array_that_promises_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    content = pickle.dumps(BATCH, protocol=2)
    rows = content.replace(b"K\x04M\x00\x0c\x86", b"J\x00\x00\x00\x7fM\x00\x0c\x86")
    assert rows != content
    with pytest.raises(UserError, match=r"data_batch_1 is damaged .+an array of "):
        list_members(archive_with(tmp_path, data_batch_1=rows))


BATCH = cifar_batch(4, 0)


@pytest.mark.parametrize(
    ("batch", "sentence"),
    [
        (BATCH | {b"data": BATCH[b"data"][:3]}, "holds no rows of 3,072 bytes with a label each"),
        (BATCH | {b"data": BATCH[b"data"].astype(np.int64)}, "holds no rows of 3,072 bytes"),
        (BATCH | {b"labels": [0, 1, 2, -1]}, "holds no rows of 3,072 bytes"),
        (BATCH | {b"labels": [0, 1, 2, "cat"]}, "holds no rows of 3,072 bytes"),
        (BATCH | {b"labels": [0, 1, 2, 3]}, "no CIFAR-10 batches with their batches.meta"),
        ([1, 2], "holds no dict"),
    ],
)
def test_batch_of_another_shape_is_refused(tmp_path: Path, batch: object, sentence: str) -> None:
    path = archive_with(tmp_path, data_batch_1=pickle.dumps(batch, protocol=2))
    with pytest.raises(UserError, match=sentence):
        list_members(path)


def test_damaged_batch_is_refused(tmp_path: Path) -> None:
    content = pickle.dumps(BATCH, protocol=2)
    for length in (0, 1, len(content) // 2, len(content) - 1):
        with pytest.raises(UserError, match="data_batch_1 is damaged"):
            list_members(archive_with(tmp_path, data_batch_1=content[:length]))


def test_batches_of_100_classes_are_refused_without_names(tmp_path: Path) -> None:
    meta = pickle.dumps({b"fine_label_names": [b"apple"]}, protocol=2)
    with pytest.raises(UserError, match=r"batches\.meta names no classes"):
        list_members(archive_with(tmp_path, batches_meta=meta))


@pytest.mark.parametrize("name", [b"..", b"sea/ship", b"dog"])
def test_class_that_would_be_read_as_another_is_refused(tmp_path: Path, name: bytes) -> None:
    meta = pickle.dumps({b"label_names": [b"cat", b"dog", name]}, protocol=2)
    with pytest.raises(UserError, match=rf"names a class {name.decode()!r} twice, or in"):
        list_members(archive_with(tmp_path, batches_meta=meta))


@pytest.mark.parametrize("name", ["data_batch_1", "batches.meta"])
def test_batch_in_two_folders_is_refused(tmp_path: Path, name: str) -> None:
    members = cifar_members()
    members[f"copy/{name}"] = members[f"cifar-10-batches-py/{name}"]
    path = write_archive(tmp_path / "cifar.tar.gz", members)
    with pytest.raises(UserError, match=f"holds {name} in two folders: remove one of them"):
        list_members(path)


def test_archive_of_images_is_refused(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "pets.tar.gz", {"pets/cat/a.png": b"x"})
    with pytest.raises(UserError, match=r"set download\.source to archive"):
        list_members(path)


def test_classes_are_cifar10s(tmp_path: Path) -> None:
    names = {member.name.split("/")[1] for member in list_members(archive_with(tmp_path))}
    assert names == set(CIFAR_CLASSES)
