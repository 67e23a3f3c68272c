from pathlib import Path

import pytest

from classifier.report.run_results import public_address, read_rows


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
    path.write_text('class,count\n007,1\nNA,2\n"a, or\nb",3\n', "utf-8")
    assert [row["class"] for row in read_rows(path)] == ["007", "NA", "a, or\nb"]
