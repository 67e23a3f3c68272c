import unicodedata

import pytest

from classifier.core.errors import UserError
from classifier.sources.names import clean_name, ending, ignored_by


def test_names_are_composed_and_without_needless_parts() -> None:
    decomposed = unicodedata.normalize("NFD", "./Zürich//é.png")
    assert clean_name(decomposed) == "Zürich/é.png"


@pytest.mark.parametrize(
    "name", ["a\nb.png", "a\rb.png", "pets\x00/a.png", "\x1b[31m.png", "\x85.png"]
)
def test_name_with_a_control_character_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="holds a control character: rename"):
        clean_name(name)


def test_icon_that_macos_puts_into_folders_is_the_systems() -> None:
    assert ignored_by(clean_name("pets/Icon\r")) == "system"


def test_rules_are_a_matter_of_whole_parts() -> None:
    assert ignored_by(".a/b.png") == "hidden"
    assert ignored_by("a/__MACOSX/._b.png") == "system"
    assert ignored_by("a.b/c__MACOSX/d.png") == ""


@pytest.mark.parametrize(
    "name",
    [
        "@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg",
        "cat/Thumbs.db",
        "cat/THUMBS.DB",
        "$RECYCLE.BIN/a.jpg",
        "#recycle/a.jpg",
        "System Volume Information/x",
        "lost+found/a",
        ".DS_Store",
    ],
)
def test_what_systems_add_is_known_by_its_name(name: str) -> None:
    assert ignored_by(name) == "system"


def test_ending_is_in_small_letters() -> None:
    names = ["a.b/c.JPG", "a.b/c", ".png", "x.tar.gz"]
    assert [ending(name) for name in names] == [".jpg", "", "", ".gz"]
