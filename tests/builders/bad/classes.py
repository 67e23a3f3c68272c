"""Cases of bad input: classes and images in an archive."""

import unicodedata
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from builders.bad.inputs import IMAGE, PETS, Case, add_case, members, write_params
from builders.images import class_folders, encode, noise, write_raw
from builders.sources import download_section
from builders.splits import split_section

RAW = Path("data/raw")
CASES: dict[str, Case] = {}
case = partial(add_case, CASES)


def split_params(**changes: Any) -> None:
    fractions = {"train": 0.6, "val": 0.2, "test": 0.2}
    write_params(split=split_section(fractions=fractions) | changes)


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
    content = encode(noise(64, 64), "JPEG")[:-2]
    image(content + content[content.rindex(b"\xff\xda") :] * 2000, "jpg")


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
