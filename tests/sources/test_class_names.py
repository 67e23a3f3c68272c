import unicodedata

import pytest
from builders.folders import places, read_folders

from classifier.core.errors import UserError


@pytest.mark.parametrize(
    ("one", "other"),
    [("Cat", "cat"), ("dog ", "dog"), ("\uff23at", "cat"), ("a  b", "a b"), ("Straße", "STRASSE")],
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
