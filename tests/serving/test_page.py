"""The page in a real browser: headless Chromium, driven by Playwright."""

import re
from pathlib import Path

import pytest
from builders.colours import image_of
from builders.web.browser import needs_chromium
from builders.web.serving import running, served
from playwright.sync_api import Browser, Page, Route, expect

KEY = "a-key-of-24-characters!!"
pytestmark = needs_chromium


def file(name: str, content: bytes) -> dict[str, object]:
    return {"name": name, "mimeType": "image/png", "buffer": content}


def choose(page: Page, *files: dict[str, object]) -> None:
    page.locator("#files").set_input_files(list(files))  # pyright: ignore[reportArgumentType]


def test_chosen_images_are_answered_with_thumbnails_and_bars(page: Page, tmp_path: Path) -> None:
    expect(page.locator("#about")).to_contain_text("It tells apart: red, green, blue.")
    choose(page, file("sea.png", image_of("blue", 300)), file("rose.png", image_of("red", 300)))
    items = page.locator(".item")
    expect(items).to_have_count(2)
    # The newest first.
    expect(items.nth(0).locator("h2")).to_have_text("red, 100.0%")
    expect(items.nth(1).locator("h2")).to_have_text("blue, 100.0%")
    expect(items.nth(0).locator("tr")).to_have_count(3)
    assert items.nth(0).locator("progress").nth(0).evaluate("bar => bar.value") > 0.99
    assert items.nth(0).locator("img").evaluate("image => image.naturalWidth") == 300
    page.screenshot(path=tmp_path / "answers.png", full_page=True)


def test_heat_map_takes_the_place_of_the_image_and_gives_it_back(
    page: Page, tmp_path: Path
) -> None:
    choose(page, file("sea.png", image_of("blue", 300)))
    button = page.get_by_role("button", name="Show what supports blue")
    thumbnail = page.locator(".item img")
    for width, pressed in ((12, "true"), (300, "false"), (12, "true")):
        button.click()
        page.locator("#clear").focus()
        expect(button).to_have_attribute("aria-pressed", pressed)
        expect(thumbnail).to_have_js_property("naturalWidth", width)
        expect(page.locator("#clear")).to_be_focused()
    page.screenshot(path=tmp_path / "heat.png", full_page=True)


def test_heat_map_is_of_the_class_that_is_answered(page: Page) -> None:
    """Costs may let another class be answered than the most probable one."""

    def with_costs(route: Route) -> None:
        answer = route.fetch().json()
        route.fulfill(json=answer | {"label": "red", "index": 0})

    page.route("**/predict?*", with_costs)
    choose(page, file("sea.png", image_of("blue")))
    with page.expect_request("**/heatmap?index=0&model=*"):
        page.get_by_role("button", name="Show what supports red").click()


def test_heat_map_of_a_model_that_is_no_longer_there_is_refused(page: Page) -> None:
    """Its classes may have other indices."""

    def by_an_earlier_model(route: Route) -> None:
        route.fulfill(json=route.fetch().json() | {"model": "earlier"})

    page.route("**/predict?*", by_an_earlier_model)
    choose(page, file("sea.png", image_of("blue")))
    page.get_by_role("button", name="Show what supports blue").click()
    expect(page.locator("#status")).to_have_text(
        "The server has another model now; send the image again."
    )


def test_rejected_file_is_reported_in_words_and_the_next_is_answered(
    page: Page, tmp_path: Path
) -> None:
    choose(page, file("notes.png", b"no image"), file("leaf.png", image_of("green")))
    items = page.locator(".item")
    expect(items.nth(0).locator("h2")).to_have_text("green, 100.0%")
    expect(items.nth(1).locator("h2.problem")).to_contain_text(
        "notes.png: it is no image in a known format"
    )
    page.screenshot(path=tmp_path / "rejected.png", full_page=True)


def test_page_fits_a_narrow_screen(browser: Browser, page_url: str, tmp_path: Path) -> None:
    page = browser.new_page(viewport={"width": 320, "height": 640}, has_touch=True)
    page.goto(page_url)
    name = "a_class_whose_name_has_no_blank_" * 3

    def rename(route: Route) -> None:
        response = route.fetch()
        route.fulfill(response=response, body=response.text().replace('"blue"', f'"{name}"'))

    page.route("**/predict?*", rename)
    choose(page, file(f"{'long name ' * 9}.png", image_of("blue", 200)))
    expect(page.locator(".item h2")).to_have_text(f"{name}, 100.0%")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    page.screenshot(path=tmp_path / "narrow.png", full_page=True)
    page.close()


def test_keyboard_is_enough(page: Page) -> None:
    # The browser must have heard that a chooser is expected before one opens.
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "files"
        page.keyboard.press("Space")
    chooser.value.set_files([file("a.png", image_of("red"))])  # pyright: ignore
    expect(page.locator(".item h2")).to_have_text("red, 100.0%")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "clear"
    page.keyboard.press("Enter")
    expect(page.locator(".item")).to_have_count(0)


@pytest.mark.parametrize("event", ["drop", "paste"])
def test_image_is_dropped_or_pasted(page: Page, event: str) -> None:
    page.evaluate(
        """([event, bytes]) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "a.png", { type: "image/png" }));
            document.dispatchEvent(event === "drop"
                ? new DragEvent("drop", { dataTransfer: data, bubbles: true })
                : new ClipboardEvent("paste", { clipboardData: data, bubbles: true }));
        }""",
        [event, list(image_of("green"))],
    )
    expect(page.locator(".item h2")).to_have_text("green, 100.0%")


def test_key_is_asked_for_and_used(browser: Browser, page_models: Path) -> None:
    with running(served(page_models, api_key=KEY)) as url:
        page = browser.new_page()
        page.goto(url)
        page.get_by_label("API key").fill(KEY)
        page.get_by_role("button", name="Use it").click()
        expect(page.locator("#about")).to_contain_text("It tells apart")
        expect(page.locator("#keyform")).to_be_hidden()
        choose(page, file("a.png", image_of("red")))
        expect(page.locator(".item h2")).to_have_text("red, 100.0%")
        page.close()


def test_name_of_a_file_is_never_markup(page: Page) -> None:
    choose(page, file("<img src=x onerror=alert(1)>.png", b"no image"))
    expect(page.locator(".item h2")).to_contain_text("<img src=x")
    assert page.locator(".item img").count() == 1


def test_server_that_is_gone_is_reported(browser: Browser, page_models: Path) -> None:
    page = browser.new_page()
    with running(served(page_models)) as url:
        page.goto(url)
        expect(page.locator("#about")).to_contain_text("It tells apart")
    choose(page, file("a.png", image_of("red")))
    expect(page.locator(".item h2")).to_have_text("The server cannot be reached.")
    page.close()


def test_api_page_lists_every_path(browser: Browser, page_url: str, tmp_path: Path) -> None:
    page = browser.new_page()
    page.goto(f"{page_url}/docs")
    expect(page.locator("h2")).to_have_count(6)
    expect(page.locator("body")).not_to_contain_text("undefined")
    expect(page.locator("body")).to_contain_text(re.compile(r"POST /predict"))
    page.screenshot(path=tmp_path / "docs.png", full_page=True)
    page.close()
