import unicodedata
from pathlib import Path
from typing import Any

import pytest
from builders.folders import places, read_folders
from builders.images import write_archive
from builders.sources import local_params, write_files
from hypothesis import given
from hypothesis import strategies as st

from classifier.core.errors import UserError
from classifier.sources.acquire import acquire
from classifier.sources.labelling.labels import with_composed_classes, written_class
from classifier.sources.params import DownloadParams
from classifier.sources.tables import LabelledImage

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
PATTERN = {"pattern": "(?P<class>[^/]+)/[^/]+$"}
TABLE = {"labels": {"file": "t.csv", "path": "id", "class": "kind"}}


def brought(source: str, files: dict[str, bytes], folder: Path, **changes: Any) -> DownloadParams:
    """Params of files in a folder or an archive."""
    if source == "folder":
        write_files(folder / "data", files)
        return local_params("folder", folder / "data", **changes)
    return local_params("archive", write_archive(folder / f"data.{source}", files), **changes)


@pytest.mark.parametrize("source", ["folder", "zip", "tar"])
@pytest.mark.parametrize("changes", [{}, PATTERN], ids=["folders", "pattern"])
@pytest.mark.parametrize("tops", [("", ""), ("train/", "test/")])
def test_classes_in_two_forms_of_unicode_are_refused(
    tmp_path: Path, source: str, changes: dict[str, str], tops: tuple[str, str]
) -> None:
    one, other = tops
    names = [f"{one}{COMPOSED}/1.png", f"{one}{COMPOSED}/2.png", f"{other}{DECOMPOSED}/3.png"]
    names += [f"{one}dog/4.png", f"{other}dog/5.png"]
    params = brought(source, dict.fromkeys(names, b"x"), tmp_path, **changes)
    with pytest.raises(UserError, match=r"capital .+ their form in Unicode") as caught:
        acquire(params, tmp_path / "raw")
    assert f"{COMPOSED!r} (2 images)" in str(caught.value)
    assert f"{DECOMPOSED!r} (1 image)" in str(caught.value)


@pytest.mark.parametrize("source", ["folder", "zip", "tar"])
def test_table_with_a_class_in_two_forms_of_unicode_is_refused(tmp_path: Path, source: str) -> None:
    rows = f"id,kind\n1,{COMPOSED}\n2,{DECOMPOSED}\n3,dog\n"
    files = {"1.png": b"x", "2.png": b"x", "3.png": b"x", "t.csv": rows.encode()}
    params = brought(source, files, tmp_path, **TABLE)
    with pytest.raises(UserError, match=r"\(1 image\) and .+ differ only in capital letters"):
        acquire(params, tmp_path / "raw")


@pytest.mark.parametrize("changes", [{}, PATTERN, TABLE], ids=["folders", "pattern", "table"])
def test_class_in_one_form_of_unicode_is_composed(tmp_path: Path, changes: dict[str, Any]) -> None:
    rows = f"id,kind\n1,{DECOMPOSED}\n2,dog\n".encode()
    files = {f"{DECOMPOSED}/1.png": b"x", "dog/2.png": b"x", "t.csv": rows}
    acquired = acquire(brought("zip", files, tmp_path, **changes), tmp_path / "raw")
    assert any(line.startswith(f"2 classes: {COMPOSED} 1, dog 1") for line in acquired.lines)
    labels = (tmp_path / "raw/labels.csv").read_text("utf-8")
    assert f"{COMPOSED}/1.png,{COMPOSED}," in labels


@pytest.mark.parametrize(
    ("names", "changes", "told"),
    [
        ([f"{DECOMPOSED}/{COMPOSED}_1.png", f"{DECOMPOSED}/2.png"], {}, "2 classes: café 2"),
        (
            [f"{COMPOSED}/{DECOMPOSED}_1.png", f"x/{DECOMPOSED}_2.png"],
            {"pattern": r"(?P<class>[^_/]+)_\d+\.png$"},
            "2 classes: café 2",
        ),
    ],
    ids=["folders", "pattern"],
)
def test_only_what_says_the_class_counts(
    tmp_path: Path, names: list[str], changes: dict[str, str], told: str
) -> None:
    files = dict.fromkeys([*names, "dog/dog_3.png"], b"x")
    acquired = acquire(brought("zip", files, tmp_path, **changes), tmp_path / "raw")
    assert any(line.startswith(told) for line in acquired.lines)


def test_file_in_the_other_form_does_not_hide_that_two_folders_differ(tmp_path: Path) -> None:
    names = [f"{COMPOSED}/1.png", f"{DECOMPOSED}/{COMPOSED}_2.png", "dog/3.png"]
    params = brought("zip", dict.fromkeys(names, b"x"), tmp_path)
    with pytest.raises(UserError, match=r"capital .+ their form in Unicode"):
        acquire(params, tmp_path / "raw")


@given(st.text("aeéüñ한글カ", min_size=1), st.sampled_from(["NFC", "NFD"]))
def test_written_class_is_that_of_the_path_and_can_be_composed(name: str, form: Any) -> None:
    name = unicodedata.normalize("NFC", name)
    written = written_class(name, unicodedata.normalize(form, f"x/{name}/1.png"))
    assert written == unicodedata.normalize(form, name)
    (image,) = with_composed_classes([LabelledImage("a.png", written, "")])
    assert image.class_name == name


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Cat", "cat"),
        ("dog ", "dog"),
        ("\uff23at", "cat"),
        ("a  b", "a b"),
        ("Straße", "STRASSE"),
        ("cat\u200b", "cat"),
    ],
)
def test_classes_that_look_alike_are_refused_with_their_numbers(one: str, other: str) -> None:
    with pytest.raises(UserError, match=r"\('?.+\(\d images?\) differ only in capital") as caught:
        read_folders(f"{one}/1.png", f"{one}/2.png", f"{other}/1.png", "emu/1.png")
    assert f"{one!r} (2 images)" in str(caught.value)
    assert f"{other!r} (1 image)" in str(caught.value)


@pytest.mark.parametrize(
    "name", ["a\u200cb", "👩\u200d🔬", "a\u00a0b", "日本\u3000語", "$x$", "50%"]
)
def test_classes_may_have_names_of_any_script(name: str) -> None:
    assert places(f"{name}/1.png", "cat/1.png") == {(name, ""), ("cat", "")}


def test_letters_that_only_look_alike_stay_apart() -> None:
    cyrillic = unicodedata.lookup("CYRILLIC SMALL LETTER A")
    assert len(places(f"c{cyrillic}t/1.png", "cat/1.png")) == 2


def test_a_class_named_like_the_answer_for_no_class_is_refused() -> None:
    with pytest.raises(UserError, match="a class is called unknown, and so is the answer"):
        read_folders("unknown/1.png", "cat/1.png")


def test_a_class_named_like_the_word_for_no_part_is_refused() -> None:
    with pytest.raises(UserError, match=r"called exclude, .* data/corrections\.csv .*1 image out"):
        read_folders("exclude/1.png", "dog/1.png")


@pytest.mark.parametrize("name", ["all classes", "mean of the classes", "foreign images"])
def test_class_with_the_name_of_a_row_of_results_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"a class is called '{name}', and so is a row"):
        read_folders(f"{name}/1.png", "dog/1.png")
