import pytest
from builders.web.browser import needs_chromium
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser

from classifier.report.page import Headline, page_environment
from classifier.report.parts import Details, Figure, Paragraph, Part, Section, Table


def render(text: str, parts: list[Part]) -> str:
    template = page_environment().get_template("report.html.jinja")
    sections = [Section(text, parts)]
    headline = [Headline(text, text, text)]
    return template.render(title=text, headline=headline, measured_on=text, sections=sections)


@settings(max_examples=20)
@given(st.text())
def test_text_never_becomes_markup(text: str):
    wrapped = f"<b>{text}\"'><i onclick=x>"
    table = Table(wrapped, [wrapped, wrapped], [[wrapped, wrapped]] * 30)
    figure = Figure("data:,", 1, 1, wrapped, wrapped)
    html = render(wrapped, [Paragraph(wrapped), table, Details(wrapped, table), figure])
    assert "<b>" not in html
    assert "<i onclick" not in html


def test_columns_of_numbers_are_set_to_the_right():
    table = Table("t", ["name", "share", "kind"], [["a", "0.50", "x"], ["1", "", "2"]])
    html = render("t", [table])
    assert html.count('<th scope="col" class="number">share</th>') == 1
    assert html.count('<td class="number">') == 2


def test_heading_of_names_that_are_numbers_stands_above_them():
    html = render("t", [Table("t", ["class", "share"], [["7", "0.50"]])])
    assert '<th scope="col">class</th><th scope="col" class="number">share</th>' in html


def test_a_table_without_rows_is_a_sentence():
    assert "<p>Mistakes: none.</p>" in render("t", [Table("Mistakes", ["a"], [])])


def test_only_long_tables_are_folded_up():
    short, long = (Table("t", ["a"], [["x"]] * rows) for rows in (25, 26))
    assert "<details>" not in render("t", [short])
    assert "<summary>t: 26 rows</summary>" in render("t", [long])


@needs_chromium
@pytest.mark.parametrize("medium", ["screen", "print"])
def test_a_long_name_hides_no_column(browser: Browser, medium: str):
    headings = ["class", "images", "coverage", "size", "AUROC"]
    numbers = ["7", "1.00 (0.65 to 1.00)", "1.57 (1.08 to 2.07)", "0.9918"]
    rows = [["a_class_whose_name_has_no_blank_" * 3, *numbers]] * 30
    page = browser.new_page(viewport={"width": 700, "height": 800})
    page.emulate_media(media=medium)  # pyright: ignore[reportArgumentType]
    page.set_content(render("t", [Table("t", headings, rows), Table("u", headings, rows[:9])]))
    short = page.locator(".wide").nth(1)
    assert short.evaluate("box => box.scrollWidth <= box.clientWidth")
    # What is folded up could not be opened on paper.
    assert page.locator("td").first.is_visible() == (medium == "print")
    page.close()
