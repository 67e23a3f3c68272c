from pathlib import Path

import numpy as np
import pandas as pd

from classifier.data.dataset import Dataset
from classifier.processing.images import Preprocessing
from classifier.splitting.assignment import Located
from classifier.splitting.duplicate_report import describe_duplicates, write_duplicates
from classifier.splitting.duplicates import Duplicates, Pair

IMAGES = [Located(f"{name}.png", "cat" if name < "d" else "dog, $old$", None) for name in "abcde"]
PAIRS = [Pair(0, 1, "near", 0.8), Pair(0, 2, "pixels", 1.0), Pair(2, 3, "file", 1.0)]


def found_of(pairs: list[Pair]) -> Duplicates:
    thumbnails = {row: np.full((4, 4, 3), 40 * row, np.uint8) for row in range(5)}
    groups = np.array([1, 1, 1, 1, 0]) if pairs else np.zeros(5, np.int64)
    return Duplicates(IMAGES, pairs, groups, thumbnails)


def dataset() -> Dataset:
    """The third image was dropped."""
    rows = [("a", "train", 1), ("b", "test", 1), ("d", "test", 1), ("e", "test", 0)]
    manifest = pd.DataFrame(rows, columns=["path", "split", "group"])
    manifest["path"] += ".png"
    return Dataset(np.empty((4, 4, 4, 3)), manifest, ["cat", "dog"], Preprocessing(4, "crop"))


def test_table_says_what_follows_from_each_pair(tmp_path: Path) -> None:
    write_duplicates(tmp_path, dataset(), found_of(PAIRS))
    header = (
        "group,path,class,split,other_path,other_class,other_split,kind,similarity,"
        "contradiction,leak"
    )
    assert (tmp_path / "duplicates.csv").read_text("utf-8").splitlines() == [
        header,
        "1,a.png,cat,train,b.png,cat,test,near,0.8000,False,True",
        "1,a.png,cat,train,c.png,cat,dropped,pixels,1.0000,False,False",
        '1,c.png,cat,dropped,d.png,"dog, $old$",test,file,1.0000,True,False',
    ]


def test_report_is_the_same_every_time_and_there_without_duplicates(tmp_path: Path) -> None:
    for name, pairs in (("one", PAIRS), ("two", PAIRS), ("none", [])):
        write_duplicates(tmp_path / name, dataset(), found_of(pairs))
    one, two = (tmp_path / name / "duplicates.png" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    assert (tmp_path / "none/duplicates.png").exists()
    assert len((tmp_path / "none/duplicates.csv").read_text("utf-8").splitlines()) == 1


def test_what_matters_is_said_in_lines() -> None:
    assert describe_duplicates(dataset(), found_of([])) == []
    assert describe_duplicates(dataset(), found_of(PAIRS)) == [
        "duplicates: 2 equal and 1 similar pairs in 1 groups",
        "duplicates: 1 pairs have two classes; which is right?",
        "duplicates: 2 of 3 test images (66.7%) are alike one of train",
    ]
