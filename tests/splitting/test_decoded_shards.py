import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders.images import class_folders, encode, noise, write_archive
from builders.sources import local_params, write_files
from builders.splits import split_params

from classifier.core.cache import cache_folder
from classifier.core.code import import_closure
from classifier.core.errors import UserError
from classifier.core.shards import shard_of
from classifier.data.dataset import load_dataset
from classifier.sources.acquire import acquire
from classifier.splitting.decoding import decoded_shards
from classifier.splitting.decoding.decoded_shards import DECODER
from classifier.splitting.decoding.shard_entries import DecodeTask
from classifier.splitting.split import split

PETS = class_folders({"cat": 12, "dog": 20})
SHARDS = 4


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The shards that are decoded, by number of images, as the test goes on."""
    sizes: list[int] = []
    decode = decoded_shards.decode_shards

    def note(task: DecodeTask) -> None:
        sizes.extend(len(shard.images) for shard in task.shards)
        decode(task)

    monkeypatch.setattr(decoded_shards, "decode_shards", note)
    return sizes


def build(folder: Path, files: dict[str, bytes], shards: int = SHARDS, **changes: Any) -> Path:
    """Pack a folder of these files, split it, and return the folder of the data set."""
    write_files(folder / "pets", files)
    acquire(local_params("folder", folder / "pets", shards=shards), folder / "raw")
    split(folder / "raw", folder / "split", split_params(**changes))
    return folder / "split"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def images_in(shard: int, files: dict[str, bytes]) -> int:
    return sum(shard_of(path, SHARDS) == shard for path in files)


def age_entries() -> list[Path]:
    """Make all entries of the cache a month old; return their files."""
    files = sorted(cache_folder("decoded").iterdir())
    month_ago = time.time() - 31 * 24 * 3600
    for path in files:
        os.utime(path, (month_ago, month_ago))
    return files


def test_number_of_shards_changes_neither_rows_nor_pixels(tmp_path: Path) -> None:
    one = load_dataset(build(tmp_path / "one", PETS, 1))
    many = load_dataset(build(tmp_path / "many", PETS, 64))
    assert one.manifest.equals(many.manifest)
    assert np.array(one.images).tobytes() == np.array(many.images).tobytes()
    for row in range(len(PETS)):
        np.testing.assert_array_equal(one.images[row], many.images[row])
    rows = np.array([30, 2, 2, 17])
    np.testing.assert_array_equal(many.read(rows), one.read(rows))
    np.testing.assert_array_equal(many.images[rows], one.images[rows])


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_archive_gives_the_same_shards_as_its_folder(tmp_path: Path, kind: str) -> None:
    expected = contents(build(tmp_path, PETS))
    archive = write_archive(tmp_path / f"pets.{kind}", dict(reversed(PETS.items())))
    acquire(local_params("archive", archive, shards=SHARDS), tmp_path / "raw")
    split(tmp_path / "raw", tmp_path / "of archive", split_params())
    assert contents(tmp_path / "of archive") == expected


def test_added_image_has_one_shard_decoded(tmp_path: Path, decoded: list[int]) -> None:
    before = contents(build(tmp_path, PETS))
    assert sorted(decoded) == sorted(images_in(shard, PETS) for shard in range(SHARDS))
    decoded.clear()
    more = PETS | {"cat/new.png": encode(noise(8, 8, 5))}
    changed = shard_of("cat/new.png", SHARDS)
    after = contents(build(tmp_path, more))
    assert decoded == [images_in(changed, more)]
    differing = {name for name in before if before[name] != after[name]}
    assert differing == {"manifest.csv", f"images-{changed}.npy"}


def test_another_assignment_decodes_nothing(tmp_path: Path, decoded: list[int]) -> None:
    build(tmp_path, PETS)
    decoded.clear()
    build(tmp_path, PETS, seed=3, folds=4, duplicates="drop")
    assert decoded == []
    build(tmp_path, PETS, stored_size=6)
    assert sum(decoded) == len(PETS)


def test_damaged_entry_is_decoded_again(tmp_path: Path, decoded: list[int]) -> None:
    expected = contents(build(tmp_path, PETS))
    decoded.clear()
    entry = sorted(cache_folder("decoded").glob("*.npy"))[1]
    content = entry.read_bytes()
    entry.unlink()  # data/split holds the same file
    entry.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    facts = sorted(cache_folder("decoded").glob("*.facts"))[2]
    facts.write_bytes(facts.read_bytes()[:-1])
    assert contents(build(tmp_path, PETS)) == expected
    assert len(decoded) == 2


def test_images_that_are_left_out_do_not_change_the_entry(
    tmp_path: Path, decoded: list[int]
) -> None:
    """Other shards with dropped images are new files; those of the cache stay."""
    copies = PETS | {"cat/copy.png": PETS["cat/000.png"]}
    dropped = load_dataset(build(tmp_path / "dropped", copies, duplicates="drop"))
    decoded.clear()
    kept = load_dataset(build(tmp_path / "kept", copies))
    assert decoded == []
    assert (len(dropped.images), len(kept.images)) == (32, 33)


def test_stored_shard_is_the_protected_file_of_the_cache(tmp_path: Path) -> None:
    folder = build(tmp_path, PETS)
    entries = {path.stat().st_ino for path in cache_folder("decoded").glob("*.npy")}
    shards = [path.stat() for path in folder.glob("images-*.npy")]
    assert {status.st_ino for status in shards} == entries
    assert all(status.st_mode & 0o222 == 0 for status in shards)


def test_entry_that_no_run_uses_for_a_month_is_removed(tmp_path: Path) -> None:
    build(tmp_path, PETS)
    old = age_entries()
    build(tmp_path, PETS)  # is a use
    assert sorted(cache_folder("decoded").iterdir()) == old
    age_entries()
    build(tmp_path, PETS, stored_size=6)
    assert not set(old) & set(cache_folder("decoded").iterdir())


def test_old_entry_stays_while_the_run_that_uses_it_decodes_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path, PETS)
    age_entries()
    decode = decoded_shards.decode_shards

    def decode_beside_another_run(task: DecodeTask) -> None:
        decoded_shards._remove_old(cache_folder("decoded"))
        decode(task)

    monkeypatch.setattr(decoded_shards, "decode_shards", decode_beside_another_run)
    more = PETS | {"cat/new.png": encode(noise(8, 8, 5))}
    assert len(load_dataset(build(tmp_path, more)).images) == len(more)


def test_entry_that_another_run_removes_at_that_moment_does_no_harm(tmp_path: Path) -> None:
    # It is listed and has gone when it is looked at, as this link to nowhere.
    (cache_folder("decoded") / "gone.npy").symlink_to("nowhere")
    assert len(load_dataset(build(tmp_path, PETS)).images) == len(PETS)


def test_raw_file_that_is_missing_is_named(tmp_path: Path) -> None:
    build(tmp_path, PETS)
    (tmp_path / "raw/images-2.zip").unlink()
    with pytest.raises(UserError, match=r"images-2\.zip is missing: run the download stage again"):
        split(tmp_path / "raw", tmp_path / "split", split_params())


def test_processes_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = contents(build(tmp_path / "one", PETS))
    monkeypatch.setattr(decoded_shards, "_MIN_IMAGES_FOR_PROCESSES", 1)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setenv("CLASSIFIER_CACHE", str(tmp_path / "cache"))
    assert contents(build(tmp_path / "two", PETS)) == alone


@pytest.mark.parametrize("changed", ["code_digest", "installed_versions"])
def test_images_that_other_code_or_libraries_decoded_are_decoded_again(
    tmp_path: Path, decoded: list[int], monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    build(tmp_path, PETS)
    decoded.clear()
    monkeypatch.setattr(decoded_shards, changed, lambda *_: "another")
    build(tmp_path, PETS)
    assert sum(decoded) == len(PETS)


def test_cached_images_depend_on_the_code_that_decodes() -> None:
    closure = import_closure(DECODER)
    for name in ("images", "decoders", "pixel_modes", "wide_values"):
        assert f"classifier/processing/{name}.py" in closure
