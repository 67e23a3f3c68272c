import io
import json
import os
import unicodedata
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders.images import cifar_members, class_folders, write_archive
from builders.sources import download_params, local_params, write_files
from builders.web.site import Server, serving
from PIL import Image
from sklearn.datasets import load_digits

from classifier.core.errors import UserError
from classifier.core.files import sha256_of
from classifier.sources import acquire as sources
from classifier.sources.acquire import CIFAR10_CHECKSUM, CIFAR10_URL, acquire

SHA256 = "sha256:" + "0123456789abcdef" * 4
PETS = class_folders({"black cat": 2, "dog": 1})


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    "section",
    [
        {},
        {"source": "cifar10"},
        {"source": "cifar10", "url": "file:///data/cifar.tar.gz", "checksum": SHA256},
        {"source": "archive", "url": "https://host/a.zip", "checksum": SHA256},
        {"source": "archive", "url": "a.zip", "checksum": "md5:" + "0" * 32},
        {"source": "archive", "url": "file:///a/b.zip", "watch": "/a/b.zip"},
        {"source": "archive", "url": "./photos/a.zip", "watch": "photos/a.zip"},
        {"source": "folder", "url": "../photos", "watch": "../photos/"},
    ],
)
def test_consistent_params_are_taken(section: dict[str, Any]) -> None:
    download_params(**section)


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ({"url": "a.zip"}, ": the digits come with scikit-learn"),
        ({"checksum": SHA256}, "set download.url and download.checksum to null"),
        ({"source": "cifar10", "url": "a.tar.gz"}, "download.checksum go together"),
        ({"source": "cifar10", "checksum": SHA256}, "download.checksum go together"),
        ({"source": "archive"}, "the source archive needs download.url"),
        ({"source": "folder"}, "the source folder needs download.url"),
        ({"source": "archive", "url": "http://host/a.zip"}, "run `sha256sum FILE`"),
        ({"source": "archive", "url": "a.zip"}, "its own path as download.watch"),
        ({"source": "archive", "url": "a.zip", "watch": "b.zip"}, "its own path as download.watch"),
        ({"source": "folder", "url": "photos"}, "set download.watch to 'photos' too"),
        ({"source": "folder", "url": "http://host/photos"}, "a folder is named by its path"),
        (
            {"source": "folder", "url": "photos", "watch": "photos", "checksum": SHA256},
            "a folder has no checksum",
        ),
        ({"source": "archive", "url": "s3://bucket/a.zip"}, "is no http, https or file address"),
        ({"source": "archive", "url": "~/a.zip"}, "download.url: '~/a.zip' starts with ~"),
        ({"source": "archive", "url": "file://host/a.zip"}, "of another computer"),
        ({"watch": "~/photos"}, "download.watch: '~/photos' starts with ~"),
        ({"checksum": "0" * 64}, "download.checksum: '000"),
        ({"source": "imagenet"}, "download.source is 'imagenet'"),
        ({"url": ""}, "download.url is ''"),
    ],
)
def test_contradictions_are_refused_with_a_sentence(section: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        download_params(**section)
    assert sentence in str(caught.value)


def test_digits_are_those_of_scikit_learn(tmp_path: Path) -> None:
    (file,) = acquire(download_params(), tmp_path / "raw").files
    assert file == tmp_path / "raw/images-0.zip"
    values, classes = (np.asarray(part) for part in load_digits(return_X_y=True))
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        assert names == sorted(names)
        assert Counter(name.split("/")[1] for name in names) == Counter(map(str, classes))
        for name in names[::100]:
            image = Image.open(io.BytesIO(archive.read(name)))
            assert (image.mode, image.size) == ("L", (8, 8))
            expected = np.rint(values[int(name[-8:-4])].reshape(8, 8) * 255 / 16)
            np.testing.assert_array_equal(np.asarray(image), expected)
        assert len(names) == 1797


def test_description_says_what_the_file_is(tmp_path: Path) -> None:
    archive, raw = write_archive(tmp_path / "my pets.zip", PETS), tmp_path / "raw"
    acquire(local_params("archive", archive), raw)
    assert names_in(raw) == [
        "files.csv",
        "labels.csv",
        "my pets.zip",
        "source.json",
    ]
    assert (raw / "my pets.zip").read_bytes() == archive.read_bytes()
    assert json.loads((raw / "source.json").read_bytes()) == {
        "source": "archive",
        "url": str(archive),
        "shards": 1,
        "files": {
            "my pets.zip": {
                "checksum": f"sha256:{sha256_of(archive)}",
                "bytes": archive.stat().st_size,
            }
        },
    }


def test_local_archive_may_have_the_longest_name(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / f"{'x' * 251}.zip", PETS)
    (file,) = acquire(local_params("archive", archive), tmp_path / "raw").files
    assert file.read_bytes() == archive.read_bytes()


def test_nothing_of_a_run_with_other_params_is_left(tmp_path: Path) -> None:
    archive, raw = write_archive(tmp_path / "pets.zip", PETS), tmp_path / "raw"
    acquire(local_params("archive", archive), raw)
    acquire(download_params(), raw)
    assert names_in(raw) == [
        "files.csv",
        "images-0.zip",
        "labels.csv",
        "source.json",
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("my%20pets.tar.gz", "my pets.tar.gz"),
        ("..%2Fpets.zip", "pets.zip"),
        *((odd, "archive") for odd in ("source.json", "%2E%2E", "a%00b", "a%0Ab", "x" * 220)),
    ],
)
def test_web_archive_is_downloaded_under_its_name(tmp_path: Path, name: str, expected: str) -> None:
    archive = write_archive(tmp_path / "pets.tar.gz", PETS)
    server = Server(archive.read_bytes())
    with serving(server, f"{name}?version=2"):
        checksum = f"sha256:{sha256_of(archive)}"
        params = download_params(source="archive", url=server.address, checksum=checksum)
        (file,) = acquire(params, tmp_path / "raw").files
    assert file.name == expected
    assert file.read_bytes() == archive.read_bytes()
    description = json.loads((tmp_path / "raw/source.json").read_bytes())
    # A query may hold a token, and the description is shared.
    shown = server.address.replace("?version=2", "?…")
    assert (description["url"], list(description["files"])) == (shown, [file.name])


def test_cifar10_is_the_public_archive_unless_another_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = write_archive(tmp_path / "mine.tar.gz", cifar_members(train=3, test=3))
    calls = []

    def download(url: str, checksum: object, cache: Path) -> Path:
        calls.append((url, str(checksum), cache.name))
        return archive

    monkeypatch.setattr(sources, "download", download)
    (file,) = acquire(download_params(source="cifar10"), tmp_path / "raw").files
    assert calls == [(CIFAR10_URL, CIFAR10_CHECKSUM, "downloads")]
    assert file.name == "cifar-10-python.tar.gz"
    checksum = f"sha256:{sha256_of(archive)}"
    params = download_params(source="cifar10", url=archive.as_uri(), checksum=checksum)
    assert acquire(params, tmp_path / "raw").files[0].name == "mine.tar.gz"
    labels = (tmp_path / "raw/labels.csv").read_text("utf-8").splitlines()
    assert labels[:2] == ["path,class,split", "test/airplane/test_batch_00000.ppm,airplane,test"]
    assert labels[-1] == "train/ship/data_batch_2_00002.ppm,ship,train"
    assert len(labels) == 1 + 9


def test_error_in_the_layout_writes_nothing_and_downloads_once(tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "pets.zip", PETS | {"loose.png": b"x"})
    server = Server(archive.read_bytes())
    with serving(server, "pets.zip"):
        checksum = f"sha256:{sha256_of(archive)}"
        params = download_params(source="archive", url=server.address, checksum=checksum)
        for _ in range(2):
            with pytest.raises(UserError, match=r"loose\.png lies in no folder of a class"):
                acquire(params, tmp_path / "raw")
    assert len(server.asked) == 1
    assert not (tmp_path / "raw").exists()


def test_every_file_is_listed_and_every_image_has_a_label(tmp_path: Path) -> None:
    files = {"train/cat/b.png": b"xy", "train/dog/a.png": b"x", "test/cat/c.JPG": b"x"}
    write_files(tmp_path / "pets", files | {"notes, old.txt": b"123"})
    acquire(local_params("folder", tmp_path / "pets"), tmp_path / "raw")
    assert (tmp_path / "raw/files.csv").read_bytes() == (
        b"path,bytes,status,reason\n"
        b'"notes, old.txt",3,no image,\n'
        b"test/cat/c.JPG,1,image,\n"
        b"train/cat/b.png,2,image,\n"
        b"train/dog/a.png,1,image,\n"
    )
    assert (tmp_path / "raw/labels.csv").read_bytes() == (
        b"path,class,split\n"
        b"test/cat/c.JPG,cat,test\n"
        b"train/cat/b.png,cat,train\n"
        b"train/dog/a.png,dog,train\n"
    )


def test_folder_becomes_a_zip_of_its_images(tmp_path: Path) -> None:
    others = {"notes.txt": b"x", ".hidden/a.png": b"x", "dog/.DS_Store": b"x", "dog/b.mp4": b"x"}
    shouting = {"dog/Z.JPG": b"shouting"}
    write_files(tmp_path / "my pets", PETS | others | shouting)
    (file,) = acquire(local_params("folder", tmp_path / "my pets"), tmp_path / "raw").files
    with zipfile.ZipFile(file) as archive:
        assert archive.namelist() == sorted(PETS | shouting)
        assert {name: archive.read(name) for name in archive.namelist()} == PETS | shouting
        assert all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())


def test_same_folder_elsewhere_gives_the_same_bytes(tmp_path: Path) -> None:
    files = PETS | {"Zürich/a.png": b"x"}
    write_files(tmp_path / "one", files)
    # macOS stores the name of such a folder decomposed.
    write_files(
        tmp_path / "two",
        {unicodedata.normalize("NFD", name): files[name] for name in reversed(files)},
    )
    results = [
        acquire(local_params("folder", tmp_path / name), tmp_path / f"raw of {name}")
        .files[0]
        .read_bytes()
        for name in ("one", "two")
    ]
    assert results[0] == results[1]


def test_huge_image_is_a_sentence_before_it_is_read(tmp_path: Path) -> None:
    write_files(tmp_path / "pets", PETS)
    os.truncate(tmp_path / "pets/dog/000.png", 6 << 30)  # a hole: it takes no room
    with pytest.raises(UserError, match=r"dog/000\.png of 6,442,450,944 bytes; 536,870,912 is the"):
        acquire(local_params("folder", tmp_path / "pets"), tmp_path / "raw")


def test_folder_that_is_missing_or_holds_no_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no folder .+: correct download\.url"):
        acquire(local_params("folder", tmp_path / "none"), tmp_path / "raw")
    write_files(tmp_path / "empty", {"readme.txt": b"x"})
    with pytest.raises(UserError, match=r"no images lie in .+empty: correct download\.url"):
        acquire(local_params("folder", tmp_path / "empty"), tmp_path / "raw")


@pytest.mark.parametrize("name", ["train.zip", "data/train-0.parquet"])
def test_images_that_are_packed_once_more_are_to_be_unpacked(tmp_path: Path, name: str) -> None:
    archive = write_archive(tmp_path / "pets.zip", {"a.md": b"", name: b"PK"})
    with pytest.raises(UserError, match=f"unpack {name}, which lies there, or correct download.u"):
        acquire(local_params("archive", archive), tmp_path / "raw")


def test_archive_may_hold_its_own_table(tmp_path: Path) -> None:
    members = {"pets/a.png": b"x", "pets/b.png": b"y", "pets/t.csv": b"name;kind\nb;dog\na;cat\n"}
    archive = write_archive(tmp_path / "pets.tar.gz", members)
    table = {"file": "pets/t.csv", "path": "name", "class": "kind"}
    acquired = acquire(local_params("archive", archive, labels=table), tmp_path / "raw")
    assert acquired.lines[0] == "2 images; not used: 1 table"
    labels = (tmp_path / "raw/labels.csv").read_text("utf-8").splitlines()
    assert labels == ["path,class,split", "pets/a.png,cat,", "pets/b.png,dog,"]


def test_empty_folder_of_an_archive_is_a_class_without_images(tmp_path: Path) -> None:
    archive = tmp_path / "pets.zip"
    write_archive(archive, class_folders({"cat": 1, "dog": 1}))
    with zipfile.ZipFile(archive, "a") as opened:
        opened.mkdir("emu")
    with pytest.raises(UserError, match=r"the folder emu/ .+ holds nothing"):
        acquire(local_params("archive", archive), tmp_path / "raw")
    with pytest.raises(UserError, match=r"ignore names owl"):
        acquire(local_params("archive", archive, ignore=["emu", "owl"]), tmp_path / "raw")
    acquire(local_params("archive", archive, ignore=["emu"]), tmp_path / "raw")


def test_images_that_take_no_part_are_listed_and_not_packed(tmp_path: Path) -> None:
    files = {f"train/{name}": b"x" for name in PETS} | {"test/1.png": b"x", "old/2.png": b"x"}
    write_files(tmp_path / "pets", files)
    acquired = acquire(local_params("folder", tmp_path / "pets", ignore=["old"]), tmp_path / "raw")
    with zipfile.ZipFile(acquired.files[0]) as archive:
        assert archive.namelist() == sorted(f"train/{name}" for name in PETS)
    listed = (tmp_path / "raw/files.csv").read_text("utf-8").splitlines()
    assert listed[1:3] == [
        "old/2.png,1,ignored,",
        "test/1.png,1,unlabelled,test/ has no folders of classes",
    ]
