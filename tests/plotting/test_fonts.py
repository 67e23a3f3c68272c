from collections.abc import Iterator
from pathlib import Path

import pytest
from matplotlib.text import Text

from classifier.plotting import fonts
from classifier.plotting.agg import Figure
from classifier.plotting.figures import new_figure, write_png
from classifier.plotting.fonts import drawable_names, use_fallback_fonts

SCRIPTS = {"Chinese": "猫", "Japanese": "ねこ", "Korean": "고양이", "Thai": "แมว", "Hindi": "बिल्ली"}
LATIN = ["cat", "Łódź", "кот", "γάτα", "a_b $x$", "1 → 2"]


def bars(names: list[str]) -> Figure:
    figure = new_figure(3, 2)
    axes = figure.subplots()
    axes.barh(range(len(names)), [1] * len(names))
    axes.set_yticks(range(len(names)), names, parse_math=False)
    return figure


def families(figure: Figure) -> set[str]:
    return {name for text in figure.findobj(Text) for name in text.get_fontfamily()}  # pyright: ignore[reportAttributeAccessIssue]


@pytest.fixture
def no_fonts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine that has no font but Matplotlib's own."""
    monkeypatch.setattr(fonts, "_candidates", list)
    fonts._fallback.cache_clear()
    fonts._tell_once.cache_clear()
    yield
    fonts._fallback.cache_clear()
    fonts._tell_once.cache_clear()


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.filterwarnings("error")
def test_name_in_any_script_is_drawn_where_the_machine_has_its_font(
    script: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["cat", SCRIPTS[script]]
    if drawable_names(names) != names:
        pytest.skip(f"no font of this machine has {script} letters")
    # Matplotlib warns, here with an error, where it would draw a box.
    write_png(bars(names), tmp_path / "chart.png")
    assert capsys.readouterr().err == ""


def test_charts_of_letters_that_the_first_font_has_do_not_change(tmp_path: Path) -> None:
    assert drawable_names(LATIN) == LATIN
    figure = bars(LATIN)
    before = families(figure)
    use_fallback_fonts(figure)
    assert families(figure) == before
    write_png(bars(LATIN), tmp_path / "a.png")
    write_png(bars([*LATIN, *SCRIPTS.values()]), tmp_path / "other.png")
    write_png(bars(LATIN), tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.usefixtures("no_fonts")
def test_name_without_a_font_becomes_its_number_and_a_sentence_says_so_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for _ in range(2):
        assert drawable_names(["猫", "cat", "ねこ cat"]) == ["class 0", "cat", "class 2"]
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "no installed font has the letters こね猫, so 2 class names" in told


@pytest.mark.usefixtures("no_fonts")
@pytest.mark.filterwarnings("error")
def test_other_texts_without_a_font_have_question_marks(tmp_path: Path) -> None:
    figure = new_figure(3, 2)
    title = figure.subplots().set_title("猫 IMG_1.jpg")
    write_png(figure, tmp_path / "chart.png")
    assert title.get_text() == "? IMG_1.jpg"
