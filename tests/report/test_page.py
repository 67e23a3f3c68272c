from hypothesis import given, settings
from hypothesis import strategies as st

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


def test_a_table_without_rows_is_a_sentence():
    assert "<p>Mistakes: none.</p>" in render("t", [Table("Mistakes", ["a"], [])])


def test_only_long_tables_are_folded_up():
    short, long = (Table("t", ["a"], [["x"]] * rows) for rows in (25, 26))
    assert "<details>" not in render("t", [short])
    assert "<summary>t: 26 rows</summary>" in render("t", [long])
