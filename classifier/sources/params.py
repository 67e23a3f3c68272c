"""Define the section `download` of params.yaml."""

import os
import re
import unicodedata
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from classifier.core.addresses import check_without_password, is_web_address, local_path
from classifier.core.config import Params, either
from classifier.sources.fetch import parse_checksum
from classifier.sources.labelling.table_files import is_watched

# Folders of the project that hold all outs of dvc.yaml.
WRITTEN = ("data/raw", "data/split", "data/backbone", "models", "results")
# macOS may give names in another form of Unicode than that of files.csv.
_Name = Annotated[str, AfterValidator(partial(unicodedata.normalize, "NFC"))]
# The error of a union would tell what is wrong for each of its types.
_Names = Annotated[
    list[_Name], BeforeValidator(lambda given: given if isinstance(given, list) else [given])
]
_Splits = dict[Literal["train", "val", "test"], _Names]


class TableParams(Params):
    """Tables of labels.

    Attributes:
        file: Name of the table, or of one table for each split: a path, or a file of the source.
        path: Column of the images' names, with or without folder and ending.
        class_name: Column of the classes.
        one_hot: Columns of which exactly one is 1; its name is the class.
        split: Column of the splits.
        group: Column of what belongs together, such as a patient.
    """

    file: Annotated[
        str | dict[Literal["train", "val", "test"], str],
        either("the name of a table (text), or one for each split: {train: …, val: …, test: …}"),
    ]
    path: str
    class_name: str | None = Field(None, alias="class")
    one_hot: list[str] | None = Field(None, min_length=2)
    split: str | None = None
    group: str | None = None

    @model_validator(mode="after")
    def _one_source_of_classes(self) -> "TableParams":
        if not self.file or (isinstance(self.file, dict) and not all(self.file.values())):
            raise ValueError(f"download.labels.file is {self.file!r}: write the name of a table.")
        if (self.class_name is None) == (self.one_hot is None):
            raise ValueError("download.labels needs one of the two: class, or one_hot.")
        if self.split is not None and not isinstance(self.file, str):
            raise ValueError(
                "download.labels names a table for each split and a column of splits: give one of "
                "the two."
            )
        others = (self.path, self.class_name, self.split, *(self.one_hot or []))
        if self.group is not None and self.group in others:
            raise ValueError(
                f"download.labels.group is {self.group!r}, a column that says something else: name "
                "the column of what belongs together."
            )
        return self


# Knobs that say how to read images of your own, and their values for other sources.
_LAYOUT = {
    "labels": None, "pattern": None, "class_level": None, "splits": None, "ignore": [],
}  # fmt: skip


class DownloadParams(Params):
    """Section `download` of params.yaml.

    Attributes:
        source: Kind of the data.
        url: An http, https or file address, or a path, relative to the project's folder.
        checksum: `sha256:…` or `md5:…` of the file at url.
        labels: Tables that say the label of each image.
        pattern: Regular expression that finds the label of each image in its path.
        class_level: Which folder is the class: 1 for the first, -1 for the innermost.
        splits: Names or paths of the folders of each split.
        ignore: Patterns of files and folders to leave out.
        shards: Number of files among which the images are divided.
        on_bad_row: What to do where labels and images do not fit.
        watch: A path that DVC watches: the stage runs again when its content changes.
    """

    source: Literal["digits", "cifar10", "archive", "folder"]
    url: str | None = Field(min_length=1)
    labels: TableParams | None
    pattern: str | None
    class_level: int | None
    splits: _Splits | None
    ignore: list[_Name]
    shards: int = Field(ge=1, le=4096)
    on_bad_row: Literal["error", "skip"]
    checksum: str | None
    watch: str = Field(min_length=1)

    @field_validator("url")
    @classmethod
    def _known_address(cls, url: str | None) -> str | None:
        if url is None or is_web_address(url):
            return url
        if "://" in url and not url.lower().startswith("file:"):
            raise ValueError(f"{url!r} is no http, https or file address, and no path.")
        _refuse_tilde(str(local_path(url)))
        return url

    @field_validator("pattern")
    @classmethod
    def _with_a_class(cls, pattern: str | None) -> str | None:
        if pattern is None:
            return None
        try:
            groups = re.compile(pattern).groupindex
        except re.error as error:
            raise ValueError(f"{pattern!r} is no regular expression: {error}.") from None
        if "class" not in groups:
            raise ValueError(f"{pattern!r} has no group (?P<class>…), which finds the class.")
        return pattern

    @field_validator("class_level")
    @classmethod
    def _not_zero(cls, level: int | None) -> int | None:
        if level == 0:
            raise ValueError("levels begin with 1 for the first folder, or -1 for the innermost.")
        return level

    @field_validator("splits")
    @classmethod
    def _with_training_images(cls, splits: _Splits | None) -> _Splits | None:
        if splits is not None and "train" not in splits:
            raise ValueError(f"{splits!r} names no folder of training images (train).")
        for split, names in (splits or {}).items():
            if not all(name.strip("/") for name in names or [""]):
                raise ValueError(f"{split} is {names!r}: write the names of its folders.")
        return splits

    @field_validator("checksum")
    @classmethod
    def _known_checksum(cls, checksum: str | None) -> str | None:
        return None if checksum is None else str(parse_checksum(checksum))

    @field_validator("watch")
    @classmethod
    def _watchable(cls, watch: str) -> str:
        _refuse_tilde(watch)
        return watch

    @model_validator(mode="after")
    def _consistent(self) -> "DownloadParams":
        url, checksum = self.url, self.checksum
        check_without_password(url, "download.url")
        if url is not None and not is_web_address(url):
            refuse_written("download.url", local_path(url))
        refuse_written("download.watch", Path(self.watch))
        if self.source in ("digits", "cifar10"):
            self._check_layout()
        self._check_labels()
        if self.source == "digits":
            if url is not None or checksum is not None:
                raise ValueError(
                    "the digits come with scikit-learn: set download.url and download.checksum "
                    "to null, or choose another download.source."
                )
        elif self.source == "cifar10":
            if (url is None) != (checksum is None):
                raise ValueError(
                    "download.url and download.checksum go together: give both, or set both to "
                    "null for the public archive."
                )
        elif url is None:
            raise ValueError(
                f"the source {self.source} needs download.url, the address or path of the data."
            )
        elif self.source == "folder":
            self._check_folder(url)
        elif checksum is None and is_web_address(url):
            raise ValueError(
                "a web address needs download.checksum, which pins its content: take it from the "
                "publisher, or download the file once and run `sha256sum FILE`."
            )
        elif checksum is None and not self._watches(url):
            raise ValueError(
                "a local archive needs download.checksum, or its own path as download.watch, so "
                "that a change is noticed."
            )
        return self

    def _check_layout(self) -> None:
        for name, value in _LAYOUT.items():
            if getattr(self, name) != value:
                raise ValueError(
                    f"download.{name} is for images of your own: set it to "
                    f"{'[]' if value == [] else 'null'} for the source {self.source}."
                )

    def _check_labels(self) -> None:
        given = [name for name in ("labels", "pattern") if getattr(self, name) is not None]
        if len(given) == 2:
            raise ValueError(
                "download.labels and download.pattern both say the classes: set one to null."
            )
        for name in ("class_level", "splits"):
            if given and getattr(self, name) is not None:
                raise ValueError(
                    f"download.{name} is about folders, but download.{given[0]} says the labels: "
                    "set one of the two to null."
                )

    def _check_folder(self, url: str) -> None:
        if is_web_address(url):
            raise ValueError("a folder is named by its path: set download.url to one.")
        if self.checksum is not None:
            raise ValueError("a folder has no checksum: set download.checksum to null.")
        if not is_watched(str(local_path(url)), self.watch):
            raise ValueError(
                f"a folder must be watched: set download.watch to {str(local_path(url))!r} too, "
                "so that a change is noticed."
            )

    def _watches(self, url: str) -> bool:
        return os.path.normpath(self.watch) == os.path.normpath(local_path(url))


def _refuse_tilde(path: str) -> None:
    if path.startswith("~"):
        raise ValueError(f"{path!r} starts with ~, which DVC does not know: write the whole path.")


def refuse_written(knob: str, path: Path) -> None:
    """Raise ValueError for a path that shares files with what the stages write.

    DVC would run the stages in a circle, and removes what a stage writes before it runs.
    """
    if "\0" in str(path):
        raise ValueError(f"{knob} is {str(path)!r}, but no path holds a NUL: correct it.")
    # Path.resolve raises RuntimeError for a link to itself, which is no folder: found later.
    place = Path(os.path.realpath(path))
    for written in WRITTEN:
        other = Path(os.path.realpath(written))
        if place.is_relative_to(other) or other.is_relative_to(place):
            raise ValueError(
                f"{knob} is {str(path)!r}, which shares files with {written}/, where the stages "
                "write: put the images into a folder of their own and write its path."
            )
