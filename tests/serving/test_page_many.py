"""Many images on the page, what goes wrong on the way, and who uses it without mouse or eyes."""

import csv
import json
import re
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from builders.colours import image_of, write_images
from builders.web.browser import needs_chromium, opened_page
from builders.web.dropping import drop
from builders.web.serving import running, served
from playwright.sync_api import Browser, Download, Page, Route, expect

KEY = "a-key-of-24-characters!!"
pytestmark = needs_chromium


def choose(page: Page, **colours: str) -> None:
    """Choose an image of each colour, under these names."""
    files = [
        {"name": f"{name}.png", "mimeType": "image/png", "buffer": image_of(colour)}
        for name, colour in colours.items()
    ]
    page.locator("#files").set_input_files(files)  # pyright: ignore[reportArgumentType]


def hold_answers(page: Page) -> list[str]:
    """Let no request for an answer reach the server until `unroute`; returns those that come."""
    asked: list[str] = []
    page.route("**/predict?*", lambda route: asked.append(route.request.url))
    return asked


def test_clear_stops_what_is_queued(page: Page) -> None:
    asked = hold_answers(page)
    choose(page, a="red", b="green", c="blue")
    expect(page.locator("#status")).to_have_text("Images to go: 3")
    page.get_by_role("button", name="Clear the history").click()
    expect(page.locator(".item")).to_have_count(0)
    page.unroute("**/predict?*")
    choose(page, d="blue")
    expect(page.locator(".item h2")).to_have_text("blue, 100.0%")
    assert len(asked) == 1


def test_an_image_is_cancelled_and_tried_again(page: Page) -> None:
    hold_answers(page)
    choose(page, a="red", b="green")
    running, queued = page.locator(".item").nth(1), page.locator(".item").nth(0)
    for item in (queued, running):
        item.get_by_role("button", name="Cancel").click()
        expect(item.locator("h2.problem")).to_have_text("Cancelled.")
    page.unroute("**/predict?*")
    queued.get_by_role("button", name="Try again").click()
    expect(queued.locator("h2")).to_have_text("green, 100.0%")
    expect(running.locator("h2")).to_have_text("Cancelled.")


def test_server_that_does_not_answer_is_given_up_after_a_minute(page: Page) -> None:
    page.clock.install()
    hold_answers(page)
    choose(page, a="red")
    expect(page.locator("#status")).to_have_text("Images to go: 1")
    page.clock.fast_forward(61_000)
    expect(page.locator("h2.problem")).to_have_text("The server did not answer within 60 seconds.")


def test_images_wait_for_the_key_and_go_on_with_it(browser: Browser, page_models: Path) -> None:
    with running(served(page_models, api_key=KEY)) as url, opened_page(browser, url) as page:
        expect(page.get_by_label("API key")).to_be_focused()
        expect(page.locator("#keyform")).to_contain_text("answers only with its API key")
        choose(page, a="red", b="blue")
        page.get_by_label("API key").fill("another-key-of-24-characters")
        page.keyboard.press("Enter")
        expect(page.locator("#status")).to_have_text("That is not the key of this server.")
        page.get_by_label("API key").fill(KEY)
        page.keyboard.press("Enter")
        expect(page.locator(".item h2")).to_have_text(["blue, 100.0%", "red, 100.0%"])


def test_dropped_folder_is_read_with_the_folders_in_it(page: Page, tmp_path: Path) -> None:
    folder = write_images(tmp_path / "photos")
    (folder / "more/notes.txt").write_text("no image")
    (folder / ".hidden.png").write_bytes(b"")
    drop(page, folder)
    expect(page.locator(".item h2")).to_have_count(3)
    expect(page.locator("#results tbody tr")).to_have_count(3)
    assert sorted(page.locator("#results td:first-child").all_inner_texts()) == [
        "a-red.png",
        "b-green.jpg",
        "c-blue.webp",
    ]


def test_files_that_are_left_out_stay_named_while_others_are_answered(page: Page) -> None:
    choose(page, a="red")
    page.locator("#files").set_input_files(
        [
            {"name": "leaf.png", "mimeType": "image/png", "buffer": image_of("green")},
            {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no image"},
        ]
    )
    expect(page.locator("#status")).to_have_text("green, 100.0%")
    expect(page.locator("#leftout")).to_have_text("1 file is no image and left out: notes.txt.")
    page.get_by_role("button", name="Clear the history").click()
    expect(page.locator("#leftout")).to_have_text("")


def test_empty_folder_is_told(page: Page, tmp_path: Path) -> None:
    drop(page, tmp_path)
    expect(page.locator("#status")).to_have_text("There is no file in what was dropped.")


def saved(page: Page, button: str) -> str:
    with page.expect_download() as event:
        page.get_by_role("button", name=button).click()
    download: Download = event.value
    return Path(download.path()).read_text("utf-8")


def test_table_of_several_images_is_copied_and_saved(browser: Browser, page_url: str) -> None:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto(page_url)
    choose(page, **{"=HYPERLINK(1)": "red"})
    expect(page.locator("#summary")).to_be_hidden()
    choose(page, **{'sea, "blue"': "blue"})
    expect(page.locator("#summary")).to_be_visible()
    rows = list(csv.DictReader(saved(page, "Save as CSV").splitlines()))
    assert [row["label"] for row in rows] == ["red", "blue"]
    assert [row["image"] for row in rows] == ["'=HYPERLINK(1).png", 'sea, "blue".png']
    answers = json.loads(saved(page, "Save as JSON"))
    assert [answer["label"] for answer in answers] == ["red", "blue"]
    assert set(answers[0]["probabilities"]) == {"red", "green", "blue"}
    page.get_by_role("button", name="Copy the table").click()
    expect(page.locator("#status")).to_have_text("The table is in the clipboard.")
    copied = page.evaluate("navigator.clipboard.readText()").splitlines()
    assert copied[1:] == ["'=HYPERLINK(1).png\tred\t100.0%", 'sea, "blue".png\tblue\t100.0%']
    context.close()


def test_negative_score_is_saved_as_a_number(page: Page) -> None:
    def with_score(route: Route) -> None:
        route.fulfill(json=route.fetch().json() | {"outside": -1.25})

    page.route("**/predict?*", with_score)
    choose(page, a="red", b="blue")
    rows = list(csv.DictReader(saved(page, "Save as CSV").splitlines()))
    assert [row["outside"] for row in rows] == ["-1.25", "-1.25"]


def test_camera_is_offered_on_a_phone_alone(browser: Browser, page_url: str) -> None:
    for is_phone in (False, True):
        context = browser.new_context(is_mobile=is_phone, has_touch=is_phone)
        page = context.new_page()
        page.goto(page_url)
        expect(page.locator("label[for=camera]")).to_be_visible(visible=is_phone)
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_everybody_can_use_the_page(
    browser: Browser, page_url: str, scheme: str, width: int, tmp_path: Path
) -> None:
    options = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}}
    context = browser.new_context(bypass_csp=True, has_touch=width < 500, **options)  # pyright: ignore
    page = context.new_page()
    page.goto(page_url)
    choose(page, **{"a long name " * 12: "red", "صورة من البحر": "blue"})
    page.locator("#files").set_input_files(
        [{"name": "notes.png", "mimeType": "image/png", "buffer": b"no image"}]
    )
    expect(page.locator(".item h2.problem")).to_have_count(1)
    page.evaluate("document.getElementById('keyform').hidden = false")
    found = Axe().run(page)
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (dark == "rgb(255, 255, 255)") == (scheme == "light")
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_the_description_of_the_api(
    browser: Browser, page_url: str, scheme: str
) -> None:
    context = browser.new_context(bypass_csp=True, color_scheme=scheme)  # pyright: ignore
    page = context.new_page()
    page.goto(f"{page_url}/docs")
    expect(page.locator("h2").first).to_be_visible()
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    context.close()


@pytest.mark.parametrize(
    ("reason", "classes", "title", "line"),
    [
        (None, ["red", "blue"], "red, 60.0%", r"It may be: red, blue \(.+ of such sets hold"),
        ("low confidence", ["red"], r"Unknown \(low confidence\)", r"It may be: red \("),
        ("none of the classes", ["red"], "None of the classes", None),
    ],
)
def test_doubt_is_told_in_words(
    page: Page, reason: str | None, classes: list[str], title: str, line: str | None
) -> None:
    answer = {
        "label": "unknown" if reason else "red",
        "probability": 0.6,
        "reason": reason,
        "set": classes,
        "top": [{"label": "red", "index": 0, "probability": 0.6}],
        "milliseconds": 1.0,
        "similar": [],
        "warnings": ["it has several pages"],
    }
    page.route("**/predict?*", lambda route: route.fulfill(json=answer))
    choose(page, a="red")
    expect(page.locator(".item")).to_contain_text("Warning: it has several pages")
    expect(page.locator(".item h2")).to_have_text(re.compile(title))
    if line is None:
        expect(page.locator(".item")).not_to_contain_text("It may be")
    else:
        expect(page.locator(".item")).to_contain_text(re.compile(line))


def test_no_probability_stands_beside_unknown(page: Page) -> None:
    answer = {"label": "unknown", "probability": 0.6, "reason": "low confidence", "set": None}
    answer |= {"top": [{"label": "red", "index": 0, "probability": 0.6}], "milliseconds": 1.0}
    answer |= {"similar": [], "warnings": []}
    page.route("**/predict?*", lambda route: route.fulfill(json=answer))
    choose(page, a="red", b="blue")
    row = page.locator("#results tbody tr").last.locator("td")
    expect(row).to_have_text(["b.png", "unknown (low confidence)", ""])
