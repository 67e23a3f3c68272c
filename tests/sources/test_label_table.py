import json
import re
from pathlib import Path
from typing import Any

import pytest
from builders.label_tables import ALL, IMAGES, TABLE, classes, label
from builders.sources import download_params, local_params, write_files
from hypothesis import given
from hypothesis import strategies as st

from classifier.core.errors import UserError
from classifier.evaluation.labels.label_studio import Suggestion, label_studio_tasks
from classifier.sources.labelling.label_table import label_by_table
from classifier.sources.labelling.labels import KeptOut
from classifier.sources.tables import SeenFile


@pytest.mark.parametrize(
    ("stray", "where"), [("extra/5.png", "in extra/"), ("5.png", "in no folder")]
)
def test_folders_of_splits_that_do_not_count_are_named(stray: str, where: str) -> None:
    images = ("train/1.png", "train/2.png", "test/3.png", "test/4.png", stray)
    rows = [f"{path},{kind}" for path, kind in zip(images, "ababa", strict=True)]
    labels = label("\n".join(["id,kind", *rows]), images)
    assert {image.split for image in labels.images} == {""}
    told = f"test/, train/ do not count as splits, since other images lie beside them, {where}"
    assert any(told in line for line in labels.lines)


@pytest.mark.parametrize("form", ["a/001.png", "001.png", "001", "a/001", "./a/001.png", "a\\001"])
def test_names_may_lack_folder_and_ending(form: str) -> None:
    names = [path if form == "a/001.png" else named(path, form) for path in IMAGES]
    rows = "".join(f"{name},{kind}\n" for name, kind in zip(names, ALL.values(), strict=True))
    assert classes(label(f"id,kind\n{rows}")) == ALL


def named(path: str, form: str) -> str:
    """The name of an image in the form in which `form` has that of a/001.png."""
    folder, name = path.split("/")
    return form.replace("a", folder, 1).replace("001", name[:3])


def test_names_may_begin_above_or_below_the_root_of_the_images() -> None:
    rows = "".join(f"{path},{kind}\n" for path, kind in ALL.items())
    images = tuple(f"deep/er/{path}" for path in IMAGES)
    assert list(classes(label(f"id,kind\n{rows}", images)).values()) == list(ALL.values())


@given(st.dictionaries(
    st.text("ab.-_ 1é", min_size=1, max_size=6).filter(lambda name: name.strip(" .")),
    st.sampled_from(["cat", "dog"]), min_size=4,
))  # fmt: skip
def test_every_row_finds_its_own_file(kinds: dict[str, str]) -> None:
    kinds = {f"x{name}x": kind for name, kind in kinds.items()} | {"1": "cat", "2": "dog"}
    rows = "".join(f"{name}.jpg,{kind}\n" for name, kind in kinds.items())
    labels = label(f"id,kind\n{rows}", tuple(f"{name}.jpg" for name in kinds))
    assert classes(labels) == {f"{name}.jpg": kind for name, kind in kinds.items()}


def test_group_in_two_forms_of_unicode_is_one() -> None:
    farms = ["Caf\u00e9", "Cafe\u0301", "Caf\u00e9", ""]
    rows = [f"{path},{kind},{farm}" for (path, kind), farm in zip(ALL.items(), farms, strict=True)]
    labels = label("\n".join(["id,kind,farm", *rows]))
    assert [image.columns for image in labels.images] == [("Caf\u00e9",)] * 3 + [("",)]


def test_rows_of_one_image_must_agree_on_its_group() -> None:
    rows = "id,kind,patient\n1.png,cat,p0\n1.png,cat,{patient}\n2.png,dog,p1\n"
    table = TABLE | {"group": "patient"}
    agreed = label(rows.format(patient="p0"), ("1.png", "2.png"), labels=table)
    assert classes(agreed) == {"1.png": "cat", "2.png": "dog"}
    assert "rows that repeat the label of an image: 1" in agreed.lines
    with pytest.raises(UserError, match=r"1 image with two labels \(the first: 1\.png\)"):
        label(rows.format(patient="p9"), ("1.png", "2.png"), labels=table)


def test_column_in_which_rows_of_one_image_differ_is_left_out_and_named() -> None:
    rows = "id,kind,patient,age\n1,cat,p0,5\n2,dog,p1,6\n1,cat,p39,5\n1,cat,p0,5\n"
    labels = label(rows, ("1.png", "2.png"))
    assert labels.columns == ["age"]
    assert [image.columns for image in labels.images] == [("5",), ("6",)]
    assert labels.lines[-3:] == [
        "rows that repeat the label of an image: 2",
        "columns left out, since rows of one image differ in them: patient (1.png: 'p0' and 'p39')",
        "further columns: age",
    ]


def test_rows_of_an_image_that_takes_no_part_leave_no_column_out() -> None:
    rows = "id,kind,age\n1,cat,5\n1,cat,6\n1,dog,6\n2,cat,7\n3,dog,8\n4,,5\n4,,6\n"
    labels = label(rows, tuple(f"{i}.png" for i in range(1, 5)), on_bad_row="skip")
    assert labels.columns == ["age"]
    assert classes(labels) == {"2.png": "cat", "3.png": "dog"}


@given(st.lists(st.tuples(*[st.sampled_from(["", "a", "b"])] * 2), min_size=1, max_size=6))
def test_columns_that_are_kept_say_the_same_in_every_row(rows: list[tuple[str, str]]) -> None:
    table = "".join(f"1,cat,{one},{other}\n" for one, other in rows)
    labels = label(f"id,kind,x,y\n2,dog,a,b\n{table}", ("1.png", "2.png"))
    told = {name: {row[place] for row in rows} for place, name in enumerate(("x", "y"))}
    assert labels.columns == [name for name, values in told.items() if len(values) == 1]
    assert labels.images[0].columns == tuple(rows[0]["xy".index(name)] for name in labels.columns)


def test_tasks_for_label_studio_come_back_as_a_table() -> None:
    names = ["new/a b.png", "new/50%.png", "new/ü&?.png"]
    tasks = label_studio_tasks([Suggestion(name, "cat", 1.0) for name in names], "below/")
    listed = [task["data"] | {"class": "cat" if i else "dog"} for i, task in enumerate(tasks)]
    table = {"file": "t.json", "path": "image", "class": "class"}
    labels = label(json.dumps(listed), tuple(names), name="t.json", labels=table)
    assert classes(labels) == dict(zip(names, ["dog", "cat", "cat"], strict=True))


def test_table_that_is_nowhere_is_a_sentence() -> None:
    with pytest.raises(UserError, match=r"there is no table x\.csv, neither by this path nor with"):
        label("", labels=TABLE | {"file": "x.csv"})


BAD = "id,kind\n001,cat\n002,dog\n002,cat\n003,\n009,cat\n001,cat\n"  # 004 has no row


def test_what_does_not_fit_is_counted_with_an_example() -> None:
    with pytest.raises(UserError) as caught:
        label(BAD)
    assert str(caught.value) == (
        "t.csv and the images do not fit: 1 row without file (the first: 009), 1 image without "
        "row (the first: b/004.png), 1 image without label (the first: b/003.png), 1 image with "
        "two labels (the first: a/002.png); correct them, name files in download.ignore, or set "
        "download.on_bad_row to skip, which leaves them out and lists them in data/raw/files.csv."
    )


def test_what_does_not_fit_is_left_out_and_named() -> None:
    images = (*IMAGES, "b/010.png")
    labels = label(f"{BAD}010,dog\n", images, on_bad_row="skip")
    assert classes(labels) == {"a/001.png": "cat", "b/010.png": "dog"}
    assert labels.kept_out == {
        "a/002.png": KeptOut("two labels", "cat and dog"),
        "b/003.png": KeptOut("no label", ""),
        "b/004.png": KeptOut("no row", ""),
    }
    assert labels.no_files == [SeenFile("009", 0, "no file")]


def test_class_of_which_no_row_fits_an_image_is_named() -> None:
    rows = "id,kind\n001,cat\n002,dog\n009,owl\n003,emu\n003,cat\n"
    labels = label(rows, IMAGES, on_bad_row="skip")
    assert "classes of the table without images: 'emu', 'owl'" in labels.lines


def test_name_that_fits_two_files_is_ambiguous_unless_it_is_the_whole_path() -> None:
    images = ("1.png", "a/1.png", "a/2.png", "b/2.png")
    rows = "id,kind\n1.png,cat\na/1.png,dog\n2,cat\n"
    labels = label(rows, images, on_bad_row="skip")
    assert classes(labels) == {"1.png": "cat", "a/1.png": "dog"}
    assert labels.no_files == [SeenFile("2", 0, "ambiguous", "fits a/2.png and b/2.png")]


def test_a_table_for_each_split_tells_equal_names_apart() -> None:
    images = ("test/1.png", "test/2.png", "train/1.png", "train/2.png")
    tables = {"tr.csv": b"id,kind\n1,cat\n2,dog\n", "te.csv": b"id,kind\n1,dog\n2,cat\n"}
    files = [SeenFile(path, 1, "image") for path in images]
    section = TABLE | {"file": {"train": "tr.csv", "test": "te.csv"}}
    labels = label_by_table(files, tables.get, local_params("folder", "pets", labels=section))
    assert [(image.path, image.class_name, image.split) for image in labels.images] == [
        ("test/1.png", "dog", "test"),
        ("test/2.png", "cat", "test"),
        ("train/1.png", "cat", "train"),
        ("train/2.png", "dog", "train"),
    ]
    assert "splits: train 2 (tr.csv), test 2 (te.csv)" in labels.lines


def test_column_of_splits_is_read_in_its_usual_words() -> None:
    rows = "id,kind,part\n001,cat,Training\n002,dog,train\n003,cat,VALID\n004,dog,\n"
    labels = label(rows, labels=TABLE | {"split": "part"})
    assert [image.split for image in labels.images] == ["train", "train", "val", ""]
    assert "1 image without a split: counted as train" in labels.lines
    with pytest.raises(UserError, match=r"column part of t\.csv has the split 'fold 1': write"):
        label(rows.replace("VALID", "fold 1"), labels=TABLE | {"split": "part"})


def test_folders_name_the_splits_where_the_table_does_not() -> None:
    images = ("x/test/1.png", "x/test/2.png", "x/train/3.png", "x/train/4.png")
    labels = label("id,kind\n1,cat\n2,dog\n3,cat\n4,dog\n", images)
    assert [image.split for image in labels.images] == ["test", "test", "train", "train"]
    assert "splits: train 2 (x/train/), test 2 (x/test/)" in labels.lines


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("0,0", KeptOut("no label", "")),
        ("1,1", KeptOut("two labels", "cat and dog")),
        ("1,1\n003,1,0", KeptOut("two labels", "cat and dog")),
        ("1,0\n003,1,1", KeptOut("two labels", "cat and dog")),
    ],
)
def test_one_hot_row_needs_exactly_one(row: str, reason: KeptOut) -> None:
    section = {"file": "t.csv", "path": "id", "one_hot": ["cat", "dog"]}
    table = f"id,cat,dog\n001,1.0,0.0\n002,False,True\n003,{row}\n004,1,0\n009,1,1\n"
    labels = label(table, labels=section, on_bad_row="skip")
    assert labels.no_files == [SeenFile("009", 0, "no file")]
    assert classes(labels) == {"a/001.png": "cat", "a/002.png": "dog", "b/004.png": "cat"}
    assert labels.kept_out["b/003.png"] == reason


@pytest.mark.parametrize("value", ["-1", "0.9", "2", "yes", "1.00"])
def test_one_hot_value_is_0_or_1(value: str) -> None:
    section = {"file": "t.csv", "path": "id", "one_hot": ["cat", "dog"]}
    with pytest.raises(UserError, match=f"t.csv has '{value}' in the one-hot column dog: write 1"):
        label(f"id,cat,dog\n001,1,\n002,1,{value}\n", labels=section, on_bad_row="skip")


def test_further_columns_never_hide_our_own() -> None:
    rows = "".join(f"{path},{kind},1,2,3\n" for path, kind in ALL.items())
    labels = label(f"id,kind,width,camera,group\n{rows}")
    assert labels.columns == ["data_width", "camera", "data_group"]
    assert {image.columns for image in labels.images} == {("1", "2", "3")}


@pytest.mark.parametrize(
    ("group", "name"), [("patient", "patient"), ("group", "data_group"), ("width", "data_width")]
)
def test_hint_names_the_column_of_groups_as_it_is_written(group: str, name: str) -> None:
    rows = f"id,kind,data_group,{group}\n1,cat,,x\n2,dog,,y\n"
    labels = label(rows, ("1.png", "2.png"), labels=TABLE | {"group": group})
    (hinted,) = re.findall("; name (.+) in split.group_by", labels.lines[-1])
    assert hinted.startswith(name)
    place = labels.columns.index(hinted)
    assert [image.columns[place] for image in labels.images] == ["x", "y"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"labels": TABLE | {"group": "kind"}}, "group is 'kind', a column that says something"),
        ({"labels": {"file": "t.csv", "path": "id"}}, "needs one of the two: class, or one_hot"),
        ({"labels": TABLE | {"one_hot": ["a", "b"]}}, "needs one of the two"),
        ({"labels": TABLE | {"klass": "x"}}, r"download\.labels\.klass is unknown"),
        ({"labels": TABLE, "pattern": "(?P<class>x)"}, "both say the classes"),
        ({"labels": TABLE, "class_level": 1}, r"download\.class_level is about folders"),
        ({"labels": TABLE | {"file": {"train": "a"}, "split": "s"}}, "give one of the two"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        local_params("folder", "pets", **changes)
    with pytest.raises(UserError, match=r"download\.labels is for images of your own"):
        download_params(labels=TABLE)


def test_table_that_nobody_watches_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{path},{kind}\n" for path, kind in ALL.items())
    write_files(tmp_path, {"all/pets/x": b"", "all/t.csv": f"id,kind\n{rows}".encode()})
    section = TABLE | {"file": "all/t.csv"}
    files = [SeenFile(path, 1, "image") for path in IMAGES]
    outside = local_params("folder", "all/pets", labels=section)
    with pytest.raises(UserError, match=r"outside of download\.watch \(all/pets\), so that"):
        label_by_table(files, {}.get, outside)
    watched = local_params("folder", "all/pets", labels=section, watch="all")
    assert classes(label_by_table(files, {}.get, watched)) == ALL
