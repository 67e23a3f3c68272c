"""The page with the real runtime for browsers, in headless Chromium."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from builders.colours import image_of, write_models
from builders.web.browser import needs_chromium, opened_page
from builders.web.dropping import drop
from builders.web.static_site import static_site
from playwright.sync_api import Browser, Page, Route, expect

from classifier.commands.export_page import main
from classifier.core.errors import UserError
from classifier.core.files import write_bytes
from classifier.inference.predict import load_model
from classifier.static_page.web_runtime import runtime_files

pytestmark = needs_chromium
# What is said without npm, and npm's codes where no registry, or only a proxy, answers.
UNREACHABLE = (
    r"^npm is missing|\(npm error code "
    r"(ECONN\w+|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ERR_SOCKET_TIMEOUT|E5\d\d)\)"
)
# Of the heading: the right edge of its percent sign, and the left one of the number before it.
PLACES = """heading => {
  const text = heading.firstChild, range = document.createRange();
  const box = (start, end) => {
    range.setStart(text, start);
    range.setEnd(text, end);
    return range.getBoundingClientRect();
  };
  const last = text.length - 1;
  return [box(last, last + 1).right, box(last - 5, last).left];
}"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models(tmp_path_factory.mktemp("models"), reject_below=0.9, with_similar=True)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[str]:
    """A page with the runtime of the npm package; skips where no registry is reached."""
    folder = tmp_path_factory.mktemp("page")
    try:
        contents = runtime_files(None)
    except UserError as error:
        if re.search(UNREACHABLE, str(error)):
            pytest.skip(str(error))
        raise
    for name, content in contents.items():
        write_bytes(folder / "package/dist" / name, content)
    site = folder / "site"
    main([str(site), "--models", str(models), "--runtime", str(folder / "package")])
    with static_site(site) as url:
        yield url


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    with opened_page(browser, f"{url}/") as page:
        yield page


def choose(page: Page, *files: tuple[str, bytes]) -> None:
    given = [{"name": name, "mimeType": "image/png", "buffer": data} for name, data in files]
    page.locator("#files").set_input_files(given)  # pyright: ignore[reportArgumentType]


def test_chosen_images_are_answered_as_python_answers_them(page: Page, models: Path) -> None:
    expect(page.locator("#about")).to_contain_text("It tells apart: red, green, blue.")
    choose(page, ("sea.png", image_of("blue", 300)), ("rose.png", image_of("red", 50)))
    titles = page.locator(".item h2")
    expect(titles).to_have_text(["red, 100.0%", "blue, 100.0%"])  # the newest first
    expect(page.locator(".item").nth(0).locator("tr")).to_have_count(3)
    shown = page.locator(".item").nth(1).locator("progress").nth(0).evaluate("bar => bar.value")
    expected = load_model(models).predict(image_of("blue", 300)).probability
    assert shown == pytest.approx(expected, abs=1e-6)


def test_answer_may_be_unknown(page: Page) -> None:
    choose(page, ("grey.png", image_of("grey")))
    expect(page.locator(".item h2")).to_have_text("Unknown (low confidence)")


def test_training_images_that_look_like_it_are_shown(page: Page, models: Path) -> None:
    choose(page, ("sea.png", image_of("blue")))
    similar = load_model(models).predict(image_of("blue")).similar
    shown = page.locator(".similar li")
    expect(shown).to_have_text([one.label for one in similar])
    titles = [f"{one.path}, similarity {one.similarity:.2f}" for one in similar]
    assert [shown.nth(place).get_attribute("title") for place in range(4)] == titles
    # The third of the first row, from the sheet that lies beside the page.
    tile = shown.nth(0).locator(".tile")
    expect(tile).to_have_css("background-position", "-128px 0px")
    address = tile.evaluate("tile => getComputedStyle(tile).backgroundImage.slice(5, -2)")
    assert page.request.get(address).body() == (models / "export/similar.jpg").read_bytes()


def test_network_with_similarities_and_no_list_of_images_answers(page: Page) -> None:
    def without(route: Route) -> None:
        config = route.fetch().json()
        route.fulfill(json=config | {"similar": None})

    page.route("**/config.json", without)
    page.reload()
    choose(page, ("sea.png", image_of("blue")))
    expect(page.locator(".item h2")).to_have_text("blue, 100.0%")
    expect(page.locator(".similar")).to_have_count(0)


def test_network_of_another_model_is_refused(page: Page, models: Path) -> None:
    def other(route: Route) -> None:
        route.fulfill(body=(models / "export/model.int8.onnx").read_bytes())

    page.route("**/model.onnx", other)
    page.reload()
    expect(page.locator("#about")).to_contain_text("model.onnx and config.json are of two models")


def test_file_that_is_no_image_is_a_sentence_and_the_next_is_answered(page: Page) -> None:
    choose(page, ("text.png", b"text"), ("rose.png", image_of("red")))
    expect(page.locator(".item h2")).to_have_text(
        ["red, 100.0%", "It is no image in a known format."]
    )


def test_folder_that_is_dropped_is_a_sentence(browser: Browser, url: str, tmp_path: Path) -> None:
    page = browser.new_page()  # the browser complains that it can show no folder
    page.goto(f"{url}/")
    drop(page, tmp_path)
    expect(page.locator(".item h2")).to_contain_text("It cannot be read: it is a folder")
    page.close()


def test_name_that_is_read_from_the_right_keeps_its_percentage_whole(page: Page) -> None:
    """The percent sign stands beside its number, and not at the other end of the name."""

    def rename(route: Route) -> None:
        config = route.fetch().json()
        config["classes"][0] = "سفينة شراعية"
        route.fulfill(json=config)

    page.route("**/config.json", rename)
    page.reload()
    choose(page, ("rose.png", image_of("red")))
    expect(page.locator(".item h2")).to_have_text("سفينة شراعية, 100.0%")
    expect(page.locator(".item th").first).to_have_css("direction", "rtl")
    left, right = page.locator(".item h2").evaluate(PLACES)
    assert 0 <= left - right < 2


def test_keyboard_reaches_everything_and_clears(page: Page) -> None:
    choose(page, ("rose.png", image_of("red")))
    expect(page.locator("#status")).to_have_text("red, 100.0%")
    page.locator("#files").focus()
    page.keyboard.press("Tab")
    expect(page.locator("#clear")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".item")).to_have_count(0)
    expect(page.locator("#files")).to_be_focused()


def test_missing_file_of_the_page_is_a_sentence(browser: Browser, url: str) -> None:
    page = browser.new_page()
    page.route("**/model.onnx", lambda route: route.fulfill(status=404))
    page.goto(f"{url}/")
    expect(page.locator("#about")).to_have_text(
        "The model cannot be loaded: model.onnx is missing: copy the whole folder."
    )
    page.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_window(browser: Browser, url: str, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    name = "a_class_whose_name_has_no_blank_" * 3

    def rename(route: Route) -> None:
        config = route.fetch().json()
        config["classes"] = [name, "green", "blue"]
        config["decision"]["sets"] = {"coverage": 0.9, "thresholds": [0, 0, 0]}
        route.fulfill(json=config)

    page.route("**/config.json", rename)
    page.goto(f"{url}/")
    choose(page, (f"{'long' * 60}.png", image_of("red")))
    expect(page.locator(".item")).to_contain_text(f"It may be: {name}, ")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()
