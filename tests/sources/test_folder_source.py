"""What a folder of images gives, where DVC does not see a change of it."""

import os
from pathlib import Path

from builders.images import class_folders
from builders.sources import local_params, write_files

from classifier.core.files import sha256_of
from classifier.sources.acquire import acquire

PETS = class_folders({"black cat": 2, "dog": 1})


def test_empty_folder_changes_no_byte(tmp_path: Path) -> None:
    write_files(tmp_path / "pets", dict.fromkeys(PETS, b"x"))

    def acquired(name: str, ignore: list[str]) -> dict[str, bytes]:
        acquire(local_params("folder", tmp_path / "pets", ignore=ignore), tmp_path / name)
        return {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}

    before = acquired("before", [])
    for name in ("dog/more", "emu"):
        (tmp_path / "pets" / name).mkdir()
    assert acquired("after", ["emu"]) == before


def test_image_that_keeps_its_size_and_time_is_read_anew(tmp_path: Path) -> None:
    write_files(tmp_path / "pets", dict.fromkeys(PETS, b"x"))
    params = local_params("folder", tmp_path / "pets")
    (before,) = acquire(params, tmp_path / "before").files
    image = tmp_path / "pets" / next(iter(PETS))
    status = image.stat()
    image.write_bytes(b"y")
    os.utime(image, ns=(status.st_atime_ns, status.st_mtime_ns))
    (after,) = acquire(params, tmp_path / "after").files
    assert sha256_of(before) != sha256_of(after)
