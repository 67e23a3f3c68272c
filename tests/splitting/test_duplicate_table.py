import numpy as np
import pandas as pd

from classifier.data.dataset import Dataset
from classifier.processing.images import Preprocessing
from classifier.splitting.duplicates.duplicate_table import (
    describe_duplicates,
    describe_leaks,
    duplicates_table,
)
from classifier.splitting.duplicates.pairs import Duplicates, Pair
from classifier.splitting.raw_images import RawImage

IMAGES = [RawImage(f"{name}.png", "cat" if name < "d" else "dog, $old$", None) for name in "abcde"]
PAIRS = [Pair(0, 1, "near", 0.8), Pair(0, 2, "pixels", 1.0), Pair(2, 3, "file", 1.0)]


def found_of(pairs: list[Pair]) -> Duplicates:
    groups = np.array([1, 1, 1, 1, 0]) if pairs else np.zeros(5, np.int64)
    return Duplicates(IMAGES, pairs, groups)


def dataset() -> Dataset:
    """The third image was dropped."""
    rows = [("a", "train", 1), ("b", "test", 1), ("d", "test", 1), ("e", "test", 0)]
    manifest = pd.DataFrame(rows, columns=["path", "split", "group"])
    manifest["path"] += ".png"
    return Dataset(np.empty((4, 4, 4, 3)), manifest, ["cat", "dog"], Preprocessing(4, "crop"))


def test_table_says_what_follows_from_each_pair() -> None:
    table = duplicates_table(dataset(), found_of(PAIRS))
    header = (
        "group,path,class,split,other_path,other_class,other_split,kind,similarity,"
        "contradiction,leak"
    )
    assert table.to_csv(index=False).splitlines() == [
        header,
        "1,a.png,cat,train,b.png,cat,test,near,0.8000,False,True",
        "1,a.png,cat,train,c.png,cat,dropped,pixels,1.0000,False,False",
        '1,c.png,cat,dropped,d.png,"dog, $old$",test,file,1.0000,True,False',
    ]


def test_table_without_duplicates_has_its_columns() -> None:
    table = duplicates_table(dataset(), found_of([]))
    assert len(table) == 0
    assert list(table.columns)[:3] == ["group", "path", "class"]


def test_what_matters_is_said_in_lines() -> None:
    assert describe_duplicates(dataset(), found_of([])) == []
    assert describe_duplicates(dataset(), found_of(PAIRS)) == [
        "duplicates: 2 equal pairs and 1 near-duplicate pair in 1 group",
        "duplicates: 1 pair with different labels; see results/split/duplicates.csv",
    ]


def test_leaks_are_counted_whatever_joins_the_images() -> None:
    assert describe_leaks(dataset(), []) == [
        "duplicates: 2 of 3 test images (66.7%) have a duplicate in train"
    ]
    (line,) = describe_leaks(dataset(), ["patient"])
    assert line.endswith("have a duplicate or an image of the same group in train")
