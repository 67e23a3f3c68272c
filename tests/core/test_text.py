import pytest

from classifier.core.text import counted


@pytest.mark.parametrize(
    ("count", "noun", "told"),
    [
        (1, "image", "1 image"),
        (2_000, "image", "2,000 images"),
        (1, "process", "1 process"),
        (2, "process", "2 processes"),
        (0, "class", "0 classes"),
    ],
)
def test_number_stands_before_its_noun_in_singular_or_plural(
    count: int, noun: str, told: str
) -> None:
    assert counted(count, noun) == told
