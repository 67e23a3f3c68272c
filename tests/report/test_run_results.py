from collections import Counter
from pathlib import Path

import pytest

from classifier.report.result_files import read_rows
from classifier.report.run_results import (
    FileKind,
    count_files,
    describe_size,
    public_address,
)


@pytest.mark.parametrize(
    ("url", "public"),
    [
        (
            "https://me:secret@host.example:8080/a/b.zip?token=1#x",
            "https://host.example:8080/a/b.zip",
        ),
        ("http://host.example/a.tar", "http://host.example/a.tar"),
        ("/home/me/photos.zip", ""),
        ("file:///home/me/photos.zip", ""),
        ("../photos", ""),
    ],
)
def test_addresses_are_shown_without_secrets_and_paths_are_not_shown(url: str, public: str):
    assert public_address(url) == public


def test_cells_are_text_whatever_they_look_like(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text('class,count\n007,1\nNA,2\n"a, or\nb",3\nline\u2028end,4\n', "utf-8")
    names = ["007", "NA", "a, or\nb", "line\u2028end"]
    assert [row["class"] for row in read_rows(path)] == names


def test_files_are_counted_by_what_became_of_them(tmp_path: Path):
    path = tmp_path / "files.csv"
    header = "path,bytes,status,split,origin,class,reason\n"
    rows = 'a,1,used,test,given,cat,\n"b, ""c""",1,used,test,given,cat,"corrected\nfrom dog"\n'
    path.write_text(f"{header}{rows}d,1,hidden,,,,\n", "utf-8")
    assert count_files(path) == {
        FileKind("used", "test", "given"): 2,
        FileKind("hidden", "", ""): 1,
    }


def test_size_of_a_split_says_how_many_images_the_data_gives():
    used = {
        ("train", "given"): 9,
        ("train", "drawn"): 16,
        ("val", "drawn"): 4,
        ("test", "given"): 8,
    }
    files = Counter({FileKind("used", *kind): count for kind, count in used.items()})
    assert describe_size(25, "train", files) == (
        "25 images, 9 given by the data, 16 drawn at random, without what was drawn from it"
    )
    assert describe_size(4, "val", files) == "4 images, drawn at random"
    assert describe_size(8, "test", files) == "8 images, given by the data"
