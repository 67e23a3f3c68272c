from typing import Any

import pytest
from builders.sources import local_params

from classifier.core.errors import UserError
from classifier.sources.labelling.label_pattern import label_by_pattern
from classifier.sources.labelling.labels import KeptOut, Labels
from classifier.sources.tables import LabelledImage, SeenFile


def label(pattern: str, *paths: str, **changes: Any) -> Labels:
    files = [SeenFile(path, 1, "image") for path in sorted(paths)]
    return label_by_pattern(files, {}, local_params("folder", "pets", pattern=pattern, **changes))


def test_groups_become_class_split_and_columns() -> None:
    pattern = r"(?P<split>\w+)/(?P<group>p\d)-(?P<eye>left|right)?_?(?P<class>[a-z]+)"
    labels = label(pattern, "train/p1-left_ill.png", "test/p2-well.png")
    assert labels.columns == ["data_group", "eye"]
    assert labels.images == [
        LabelledImage("test/p2-well.png", "well", "test", ("p2", "")),
        LabelledImage("train/p1-left_ill.png", "ill", "train", ("p1", "left")),
    ]
    assert labels.lines[-1].startswith("further columns: data_group, eye; name data_group in split")


def test_paths_that_do_not_fit_are_named_and_counted() -> None:
    paths = ("cat.1.png", "dog.1.png", "x/logo.png")
    with pytest.raises(UserError, match=r"1 path that it does not fit \(the first: x/logo\.png\)"):
        label(r"(?P<class>cat|dog)\.", *paths)
    labels = label(r"(?P<class>cat|dog)\.", *paths, on_bad_row="skip")
    reason = "its path does not fit download.pattern"
    assert labels.kept_out == {"x/logo.png": KeptOut("no label", reason)}
    assert [image.class_name for image in labels.images] == ["cat", "dog"]


def test_folders_name_the_splits_where_the_pattern_does_not() -> None:
    labels = label(r"(?P<class>[a-z]+)\.\d", "train/cat.1.png", "train/dog.2.png", "val/cat.3.png")
    assert [image.split for image in labels.images] == ["train", "train", "val"]


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [("(?P<class>", "is no regular expression"), ("[a-z]+", r"has no group \(\?P<class>")],
)
def test_wrong_patterns_are_refused(pattern: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        local_params("folder", "pets", pattern=pattern)


def test_class_that_is_no_name_is_refused() -> None:
    with pytest.raises(UserError, match="has a slash or a control character in its name"):
        label(r"(?P<class>.+)\.png", "a/b.png", "c.png")
