import json
import shutil
import zipfile
from pathlib import Path

import pytest
from builders.images import class_folders
from builders.sources import local_params, write_files

from classifier.core.cache import cache_folder
from classifier.core.files import sha256_of
from classifier.core.shards import shard_of
from classifier.sources import packing
from classifier.sources.acquire import acquire

PETS = class_folders({"cat": 5, "dog": 6})
SHARDS = 4


def pack(folder: Path, files: dict[str, bytes]) -> dict[str, bytes]:
    write_files(folder / "pets", files)
    acquired = acquire(local_params("folder", folder / "pets", shards=SHARDS), folder / "raw")
    return {file.name: file.read_bytes() for file in acquired.files}


def test_each_image_lies_in_the_shard_of_its_path(tmp_path: Path) -> None:
    assert list(pack(tmp_path, PETS)) == [f"images-{shard}.zip" for shard in range(SHARDS)]
    for shard in range(SHARDS):
        with zipfile.ZipFile(tmp_path / f"raw/images-{shard}.zip") as archive:
            names = archive.namelist()
            assert names == sorted(name for name in PETS if shard_of(name, SHARDS) == shard)
            assert all(archive.read(name) == PETS[name] for name in names)
    description = json.loads((tmp_path / "raw/source.json").read_bytes())
    assert description["shards"] == SHARDS
    file = tmp_path / "raw/images-3.zip"
    expected = {"checksum": f"sha256:{sha256_of(file)}", "bytes": file.stat().st_size}
    assert description["files"]["images-3.zip"] == expected


def test_added_image_changes_one_shard(tmp_path: Path) -> None:
    before, after = pack(tmp_path, PETS), pack(tmp_path, PETS | {"cat/new.png": b"new"})
    changed = [name for name in before if before[name] != after[name]]
    assert changed == [f"images-{shard_of('cat/new.png', SHARDS)}.zip"]


def test_shard_that_was_packed_before_is_the_same_file(tmp_path: Path) -> None:
    """As DVC's cache has it after it has removed data/raw."""
    pack(tmp_path, PETS)
    (tmp_path / "raw").rename(tmp_path / "cache of DVC")
    pack(tmp_path, PETS | {"cat/new.png": b"new"})
    shared = [
        (tmp_path / "raw" / path.name).samefile(path)
        for path in sorted((tmp_path / "cache of DVC").glob("*.zip"))
    ]
    assert shared == [shard != shard_of("cat/new.png", SHARDS) for shard in range(SHARDS)]


def test_damaged_file_of_the_cache_is_not_used(tmp_path: Path) -> None:
    expected = pack(tmp_path, PETS)
    for path in cache_folder("packed").iterdir():
        path.unlink()
        path.write_bytes(b"damaged")
    assert pack(tmp_path, PETS) == expected


def test_file_that_nothing_links_to_leaves_the_cache(tmp_path: Path) -> None:
    pack(tmp_path, PETS)
    assert len(list(cache_folder("packed").iterdir())) == SHARDS
    shutil.rmtree(tmp_path / "raw")
    pack(tmp_path, class_folders({"owl": 5, "emu": 6}))
    packed = {sha256_of(path) for path in (tmp_path / "raw").glob("*.zip")}
    assert {path.stem for path in cache_folder("packed").iterdir()} == packed


def test_file_that_another_run_removes_at_that_moment_does_no_harm(tmp_path: Path) -> None:
    # It is listed and has gone when it is looked at, as this link to nowhere.
    (cache_folder("packed") / "gone.zip").symlink_to("nowhere")
    assert len(pack(tmp_path, PETS)) == SHARDS


def test_file_that_another_run_would_remove_while_it_is_read_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = pack(tmp_path, PETS)
    shutil.rmtree(tmp_path / "raw")  # nothing else links to the files of the cache now

    def read_beside_another_run(path: Path) -> str:
        digest = sha256_of(path)
        if path.is_relative_to(cache_folder("packed")):
            packing._remove_unused()
        return digest

    monkeypatch.setattr(packing, "sha256_of", read_beside_another_run)
    assert pack(tmp_path, PETS) == expected


def test_shard_without_images_is_an_empty_zip(tmp_path: Path) -> None:
    files = {"cat/a.png": b"x", "dog/b.png": b"y"}
    packed = pack(tmp_path, files)
    used = {f"images-{shard_of(name, SHARDS)}.zip" for name in files}
    assert len(packed) == SHARDS
    for name in set(packed) - used:
        with zipfile.ZipFile(tmp_path / "raw" / name) as archive:
            assert archive.namelist() == []
