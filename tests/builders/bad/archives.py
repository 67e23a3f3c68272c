"""Cases of bad input: archives, classes and images."""

import io
import stat
import struct
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from builders.bad.inputs import Case, add_case, write_params
from builders.images import class_folders, encode, noise, write_archive, write_raw
from builders.sources import download_section
from builders.splits import split_section

PETS = class_folders({"cat": 5, "dog": 5})
IMAGE = PETS["cat/000.png"]
RAW = Path("data/raw")
CASES: dict[str, Case] = {}
case = partial(add_case, CASES)


def split_params(**changes: Any) -> None:
    fractions = {"train": 0.6, "val": 0.2, "test": 0.2}
    write_params(split=split_section(fractions=fractions) | changes)


# Archives


def archive(write: Callable[[Path], object], name: str = "data.zip") -> None:
    """Let `write` make the archive that is to be brought."""
    write(Path(name))
    write_params(download=download_section(source="archive", url=name, watch=name))


def members(files: dict[str, bytes], name: str = "data.zip") -> None:
    archive(lambda path: write_archive(path, files), name)


@case("download", "an absolute path in a zip")
def _(stack: ExitStack) -> None:
    members({"/etc/cat/a.png": IMAGE})


@case("download", "a path with `..` in a tar")
def _(stack: ExitStack) -> None:
    members({"cat/../../a.png": IMAGE}, "data.tar")


@case("download", "an archive of nothing but links")
def _(stack: ExitStack) -> None:
    def write(path: Path) -> None:
        with tarfile.open(path, "w") as content:
            for name in ("cat/a.png", "dog/a.png"):
                info = tarfile.TarInfo(name)
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
                content.addfile(info)

    archive(write, "data.tar")


@case("download", "an archive of nothing but devices")
def _(stack: ExitStack) -> None:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as content:
            device = zipfile.ZipInfo("cat/a.png")
            device.create_system, device.external_attr = 3, (stat.S_IFCHR | 0o666) << 16
            content.writestr(device, b"")

    archive(write)


@case("download", "a zip whose image unpacks to gigabytes (a bomb)")
def _(stack: ExitStack) -> None:
    def write(path: Path) -> None:
        write_archive(path, PETS)
        content = bytearray(path.read_bytes())
        # Bytes 24 to 28 of an entry in the table of contents: the size when unpacked.
        struct.pack_into("<L", content, content.index(b"PK\x01\x02") + 24, 4_000_000_000)
        path.write_bytes(content)

    archive(write)


@case("download", "a tar whose image unpacks to gigabytes (a bomb)")
def _(stack: ExitStack) -> None:
    def write(path: Path) -> None:
        info = tarfile.TarInfo("cat/a.png")
        info.size = 1_000_000_000
        classes = write_archive(path, PETS).read_bytes()
        with path.open("wb") as file:
            file.write(info.tobuf())
            file.seek(512 + info.size)  # a hole: it takes no room
            file.write(classes)

    archive(write, "data.tar")


@case("download", "a tar with a name of megabytes (a bomb)")
def _(stack: ExitStack) -> None:
    def write(path: Path) -> None:
        info = tarfile.TarInfo("././@LongLink")
        info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1 << 30
        path.write_bytes(info.tobuf())

    archive(write, "data.tar")


@case("download", "an archive with a password")
def _(stack: ExitStack) -> None:
    def write(path: Path) -> None:
        write_archive(path, PETS)
        content = path.read_bytes()
        # The lowest of the flags says so, in each entry of the table of contents.
        entry = content.index(b"PK\x01\x02")
        path.write_bytes(content[: entry + 8] + b"\x01" + content[entry + 9 :])

    archive(write)


@case("download", "an archive that is cut short")
def _(stack: ExitStack) -> None:
    def write(path: Path) -> None:
        content = write_archive(path, PETS).read_bytes()
        path.write_bytes(content[: len(content) // 2])

    archive(write, "data.tar.gz")


@case("download", "a name that an archive holds twice")
def _(stack: ExitStack) -> None:
    def write(path: Path) -> None:
        with tarfile.open(path, "w") as content:
            for image in (IMAGE, PETS["dog/000.png"]):
                info = tarfile.TarInfo("cat/a.png")
                info.size = len(image)
                content.addfile(info, io.BytesIO(image))

    archive(write, "data.tar")


@case("download", "text, or an archive of another kind")
def _(stack: ExitStack) -> None:
    archive(lambda path: path.write_bytes(b"<html>Please log in</html>"))


@case("download", "an archive without images")
def _(stack: ExitStack) -> None:
    members({"cat/notes.txt": b"meow"})


# Classes


def raw(files: dict[str, bytes]) -> None:
    """Let the download stage bring an archive of these members."""
    write_raw(RAW, files)
    split_params()


@case("download", "an image in no folder")
def _(stack: ExitStack) -> None:
    members(PETS | {"a.png": IMAGE})


@case("download", "one class")
def _(stack: ExitStack) -> None:
    members(class_folders({"cat": 5}))


@case("split", "one image in each class")
def _(stack: ExitStack) -> None:
    raw(class_folders({"cat": 1, "dog": 1}))


@case("split", "a raw shard is missing")
def _(stack: ExitStack) -> None:
    raw(PETS)
    Path("data/raw/data.zip").unlink()


@case("split", "a class too small for the fractions")
def _(stack: ExitStack) -> None:
    raw(class_folders({"cat": 3, "dog": 30}))
    split_params(fractions={"train": 0.9, "val": 0.05, "test": 0.05})


@case("download", "a folder test/ but no train/")
def _(stack: ExitStack) -> None:
    members(class_folders({"cat": 5, "dog": 5}, prefix="test/") | {"val/cat/a.png": IMAGE})


@case("split", "`split.exclude_classes` names what is no class")
def _(stack: ExitStack) -> None:
    raw(PETS)
    split_params(exclude_classes=["bird"])


@case("split", "`split.group_by` names no column, or one in which rows of an image differ")
def _(stack: ExitStack) -> None:
    raw(PETS)
    split_params(group_by=["patient"])


@case("download", "folders that can be read in two ways")
def _(stack: ExitStack) -> None:
    years = {"2021": 2, "2022": 2}
    members(class_folders(years, prefix="cat/") | class_folders(years, prefix="dog/"))


@case("download", "classes that differ only in capital letters")
def _(stack: ExitStack) -> None:
    members(class_folders({"cat": 2, "Cat": 3}))


@case("download", "classes that differ only in their form in Unicode")
def _(stack: ExitStack) -> None:
    other = unicodedata.normalize("NFD", "café/more.png")
    members(class_folders({"café": 3, "dog": 2}) | {other: IMAGE})


@case("download", "a class named `unknown`")
def _(stack: ExitStack) -> None:
    members(class_folders({"cat": 2, "unknown": 3}))


@case("download", "a folder beside the classes that holds no image")
def _(stack: ExitStack) -> None:
    members(PETS | {"emu/film.mov": b"x"})


@case("download", "splits without folders of classes")
def _(stack: ExitStack) -> None:
    members({"train/a.png": IMAGE, "test/a.png": IMAGE})


def own_params(files: dict[str, bytes], **changes: Any) -> None:
    """Bring an archive of these members by params with these changes."""
    members(files)
    section = download_section(source="archive", url="data.zip", watch="data.zip", **changes)
    write_params(download=section)


TABLE = {"file": "t.csv", "path": "id", "class": "kind"}


@case("download", "a table of labels that does not fit the images")
def _(stack: ExitStack) -> None:
    own_params({"a.png": IMAGE, "b.png": IMAGE, "t.csv": b"id,kind\na,x\n9,y\n"}, labels=TABLE)


@case("download", "a table of labels that nobody watches")
def _(stack: ExitStack) -> None:
    own_params({"a.png": IMAGE, "b.png": IMAGE}, labels=TABLE)
    Path("t.csv").write_bytes(b"id,kind\na,x\nb,y\n")


@case("download", "`download.pattern` does not fit a path")
def _(stack: ExitStack) -> None:
    own_params({"a1.png": IMAGE, "b.png": IMAGE}, pattern=r"(?P<class>[a-z])\d")


@case("download", "`download.ignore` names what is not there")
def _(stack: ExitStack) -> None:
    own_params(PETS, ignore=["emu"])


# Images


def image(content: bytes, suffix: str = "png") -> None:
    raw(PETS | {f"cat/bad.{suffix}": content})


@case("split", "an image of 20,000 x 20,000 pixels")
def _(stack: ExitStack) -> None:
    image(encode(Image.new("1", (20_000, 20_000))))


@case("split", "a JPEG of thousands of scans, each of which takes time")
def _(stack: ExitStack) -> None:
    image(encode(noise(64, 64), "JPEG")[:-2] + b"\xff\xda" * 2000, "jpg")


@case("split", "a JPEG that is cut short")
def _(stack: ExitStack) -> None:
    content = encode(noise(64, 64), "JPEG")
    image(content[: len(content) // 2], "jpg")


@case("split", "text named .png")
def _(stack: ExitStack) -> None:
    image(b"this is no image")


@case("split", "an empty file named .png")
def _(stack: ExitStack) -> None:
    image(b"")
