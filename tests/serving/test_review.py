import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from builders.web.browser import needs_chromium, opened_page
from builders.web.serving import running_as
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect

from classifier.serving.review import Review, ReviewCase, Shown, review_server
from classifier.sources.corrections import Correction, read_corrections, write_corrections

CLASSES = ["cat", "dog", f"a class with a long name and {'no_blank_in_it_' * 6}"]
# The left edge of letters of an element, by their places in its text.
PLACES = """(element, places) => places.map((place) => {
  const range = document.createRange();
  range.setStart(element.firstChild, place);
  range.setEnd(element.firstChild, place + 1);
  return range.getBoundingClientRect().left;
})"""
EARLIER = Correction("old.png", "cat", "by hand")


def make_review(folder: Path) -> Review:
    """Three cases of a data set of five images."""
    images = np.random.default_rng(0).integers(0, 255, (5, 8, 8, 3), np.uint8)
    shown = [Shown(row=row, path=f"cat/{row}.png", label="cat", split="test") for row in range(5)]
    cases = {
        row: ReviewCase(
            **shown[row].model_dump(),
            reason="The label is cat; the model says dog with 93%.",
            suggested="dog",
            confidence=0.93,
            nearest=[shown[3]],
            similar=[shown[4], shown[2]],
        )
        for row in range(3)
    }
    write_corrections(folder / "corrections.csv", [EARLIER])
    return Review(
        CLASSES,
        cases,
        lambda row: images[row],
        lambda row: 255 - images[row],
        folder / "corrections.csv",
    )


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with running_as(review_server(make_review(tmp_path))) as url:
        yield url


def decide(url: str, row: int, action: str, **more: Any) -> httpx.Response:
    return httpx.post(f"{url}/decisions", json={"row": row, "action": action, **more})


def test_decisions_are_appended_to_the_file_with_their_reason(url: str, tmp_path: Path) -> None:
    for row, action, more in (
        (0, "keep", {}),
        (1, "relabel", {"label": "dog"}),
        (2, "exclude", {}),
    ):
        assert decide(url, row, action, **more).status_code == 200
    reason = "in review; the model said dog (93%)"
    assert read_corrections(tmp_path / "corrections.csv") == [
        EARLIER,
        Correction("cat/0.png", "cat", f"keep {reason}"),
        Correction("cat/1.png", "dog", f"relabel {reason}"),
        Correction("cat/2.png", "exclude", f"exclude {reason}"),
    ]


def test_undo_takes_back_the_last_decision_of_this_session_alone(url: str, tmp_path: Path) -> None:
    decide(url, 0, "keep")
    decide(url, 1, "exclude")
    for path, left in (("cat/1.png", ["cat/0.png"]), ("cat/0.png", [])):
        answer = httpx.delete(f"{url}/decisions/last")
        assert answer.json() == {"path": path, "decided": left}
    refused = httpx.delete(f"{url}/decisions/last")
    assert (refused.status_code, refused.json()) == (
        409,
        {"error": "There is no decision to undo."},
    )
    assert read_corrections(tmp_path / "corrections.csv") == [EARLIER]


@pytest.mark.parametrize(
    ("row", "decision", "status"),
    [
        (9, {"action": "keep"}, 404),
        (0, {"action": "relabel", "label": "owl"}, 422),
        (0, {"action": "relabel"}, 422),
        (0, {"action": "erase"}, 422),
    ],
)
def test_what_is_no_decision_is_refused_and_nothing_written(
    url: str, tmp_path: Path, row: int, decision: dict[str, Any], status: int
) -> None:
    assert decide(url, row, **decision).status_code == status
    assert read_corrections(tmp_path / "corrections.csv") == [EARLIER]


@pytest.mark.parametrize("content", [b"\xff", b"path,class\n", b"path,class,reason\nx\n", None])
def test_damaged_file_is_named_and_stays_and_the_decision_can_still_be_undone(
    url: str, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "corrections.csv"
    decide(url, 0, "keep")
    good = file.read_bytes()
    if content is None:
        file.unlink()
        file.mkdir()
    else:
        file.write_bytes(content)
    for answer in (decide(url, 1, "keep"), httpx.delete(f"{url}/decisions/last")):
        assert answer.status_code == 409
        assert "Nothing is written" in answer.json()["error"]
        assert "corrections.csv" in answer.json()["error"]
    if content is None:
        file.rmdir()
    else:
        assert file.read_bytes() == content
    file.write_bytes(good)
    assert httpx.delete(f"{url}/decisions/last").json() == {"path": "cat/0.png", "decided": []}
    assert read_corrections(file) == [EARLIER]


def test_image_is_decided_once_by_whichever_window(url: str, tmp_path: Path) -> None:
    assert decide(url, 1, "exclude").json() == {"path": "cat/1.png", "decided": ["cat/1.png"]}
    refused = decide(url, 1, "keep")
    assert refused.status_code == 409
    assert refused.json()["error"] == "cat/1.png was decided in another window: reload this page."
    assert [one.class_name for one in read_corrections(tmp_path / "corrections.csv")[1:]] == [
        "exclude"
    ]
    assert httpx.get(f"{url}/cases").json()["decided"] == ["cat/1.png"]


def test_page_under_another_host_name_gets_nothing(url: str) -> None:
    answer = httpx.get(f"{url}/cases", headers={"Host": "evil.example"})
    assert answer.status_code == 400


def test_decision_of_a_form_on_another_site_is_refused(url: str, tmp_path: Path) -> None:
    body = '{"row": 0, "action": "exclude"}'
    answer = httpx.post(f"{url}/decisions", content=body, headers={"Content-Type": "text/plain"})
    assert answer.status_code == 422
    assert read_corrections(tmp_path / "corrections.csv") == [EARLIER]


def test_small_images_are_enlarged_without_blur(url: str) -> None:
    shown = Image.open(io.BytesIO(httpx.get(f"{url}/images/4").content))
    assert shown.size == (224, 224)
    assert len(shown.convert("RGB").getcolors(100) or []) == 64
    assert {httpx.get(f"{url}/images/{row}").status_code for row in (5, -1)} == {404}
    assert httpx.get(f"{url}/heat-maps/4").status_code == 404


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    with opened_page(browser, url) as page:
        expect(page.locator("#path")).to_have_text("cat/0.png")
        yield page


@needs_chromium
def test_keyboard_alone_decides_undoes_and_comes_to_the_end(page: Page, tmp_path: Path) -> None:
    progress, path = page.locator("#progress"), page.locator("#path")
    expect(path).to_have_text("cat/0.png")
    page.screenshot(path=tmp_path / "review.png", full_page=True)
    page.keyboard.press("k")
    expect(path).to_have_text("cat/1.png")
    page.keyboard.press("x")
    expect(path).to_have_text("cat/2.png")
    page.keyboard.press("u")
    expect(path).to_have_text("cat/1.png")
    page.keyboard.press("s")
    expect(path).to_have_text("cat/2.png")
    page.keyboard.press("ArrowRight")
    expect(path).to_have_text("cat/2.png")
    page.keyboard.press("s")
    expect(progress).to_contain_text("3 decided, nothing is left. Run dvc repro")
    decided = read_corrections(tmp_path / "corrections.csv")[1:]
    assert [(one.path, one.class_name) for one in decided] == [
        ("cat/0.png", "cat"),
        ("cat/1.png", "dog"),
        ("cat/2.png", "dog"),
    ]


@needs_chromium
def test_another_class_is_chosen_from_all_of_them(page: Page, tmp_path: Path) -> None:
    page.keyboard.press("c")
    expect(page.locator("#other")).to_be_focused()
    page.locator("#other").select_option(CLASSES[2])
    page.locator("#relabel").click()
    expect(page.locator("#path")).to_have_text("cat/1.png")
    assert read_corrections(tmp_path / "corrections.csv")[-1].class_name == CLASSES[2]


@needs_chromium
@pytest.mark.parametrize("width", [320, 660])
def test_page_is_as_wide_as_the_screen_with_a_class_of_any_length(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@needs_chromium
def test_path_that_is_read_from_the_right_keeps_its_order(page: Page) -> None:
    """The number of the file stands between the folder, on the right, and the ending."""

    def rename(route: Route) -> None:
        content = route.fetch().json()
        content["cases"][0] |= {"path": "سفينة/7.png", "label": "سفينة"}
        route.fulfill(json=content)

    page.route("**/cases", rename)
    page.reload()
    for name in (page.locator("#path bdi"), page.locator("#labels bdi"), page.locator("#keep bdi")):
        expect(name).to_contain_text("سفينة")
    folder, number, ending = page.locator("#path bdi").evaluate(PLACES, [0, 6, 8])
    assert folder > number > ending


@needs_chromium
def test_heat_map_is_shown_and_hidden(page: Page) -> None:
    image = page.locator("#image")
    for pressed, source in (("true", "heat-maps/0"), ("false", "images/0")):
        page.keyboard.press("h")
        expect(page.locator("#heat")).to_have_attribute("aria-pressed", pressed)
        expect(image).to_have_attribute("src", source)


@needs_chromium
def test_similar_images_stand_beside_with_their_labels(page: Page) -> None:
    expect(page.locator("#nearest li")).to_contain_text(["cat, test: cat/3.png"])
    expect(page.locator("#similar li")).to_contain_text(["cat, test: cat/4.png", "cat/2.png"])


@needs_chromium
def test_reloaded_page_leaves_out_what_was_decided_and_undoes_it(page: Page, url: str) -> None:
    decide(url, 1, "exclude")
    page.keyboard.press("k")
    expect(page.locator("#path")).to_have_text("cat/2.png")
    page.reload()
    expect(page.locator("#path")).to_have_text("cat/2.png")
    expect(page.locator("#progress")).to_contain_text("Image 1 of 1, 2 decided")
    for path in ("cat/0.png", "cat/1.png"):
        page.keyboard.press("u")
        expect(page.locator("#path")).to_have_text(path)
    expect(page.locator("#progress")).to_contain_text("Image 2 of 3, 0 decided")
