"""Training images that look like an image: over HTTP, and on the page in a real browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from builders.colours import image_of, write_models
from builders.web.browser import needs_chromium, opened_page
from builders.web.serving import form, running, served
from fastapi.testclient import TestClient
from playwright.sync_api import Browser, expect

from classifier.serving.app import build_app

KEY = "a-key-of-24-characters!!"
SHEET = "/similar.jpg"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return write_models(tmp_path / "models", with_similar=True)


@pytest.fixture
def client(models: Path) -> Iterator[TestClient]:
    with TestClient(build_app(served(models))) as client:
        yield client


def test_answer_names_them_and_the_sheet_is_that_of_the_export(
    client: TestClient, models: Path
) -> None:
    answer = client.post("/predict", files=form(image_of("green"))).json()
    assert answer["similar"][0] == {
        "path": "green/b.png",
        "label": "green",
        "similarity": 1.0,
        "tile": 1,
    }
    assert client.get("/model").json()["similar_images"] == {"side": 64, "columns": 3}
    sheet = client.get(SHEET, params={"model": answer["model"]})
    assert sheet.headers["content-type"] == "image/jpeg"
    assert sheet.content == (models / "export/similar.jpg").read_bytes()


def test_sheet_of_another_model_is_refused(client: TestClient) -> None:
    response = client.get(SHEET, params={"model": "another"})
    assert response.status_code == 404
    assert "the model that answers now" in response.json()["error"]


def test_model_without_any_says_so(tmp_path: Path) -> None:
    with TestClient(build_app(served(write_models(tmp_path)))) as client:
        assert client.post("/predict", files=form(image_of("red"))).json()["similar"] == []
        assert client.get("/model").json()["similar_images"] is None
        assert client.get(SHEET).status_code == 404


def test_training_images_need_the_key(models: Path) -> None:
    with TestClient(build_app(served(models, api_key=KEY))) as client:
        assert client.get(SHEET).status_code == 401
        allowed = client.get(SHEET, headers={"Authorization": f"Bearer {KEY}"})
        assert allowed.status_code == 200


def test_workers_in_processes_answer_with_them(models: Path) -> None:
    with TestClient(build_app(served(models, processes=1))) as client:
        answer = client.post("/predict", files=form(image_of("blue"))).json()
        assert answer["similar"][0]["path"] == "blue/c.png"
        assert client.get(SHEET).status_code == 200


@needs_chromium
def test_page_shows_the_thumbnails_of_those_that_look_like_it(
    browser: Browser, models: Path, tmp_path: Path
) -> None:
    with (
        running(served(models, api_key=KEY)) as url,
        opened_page(browser, url) as page,
    ):
        page.locator("#key").fill(KEY)
        page.get_by_role("button", name="Use it").click()
        red = {"name": "a.png", "mimeType": "image/png", "buffer": image_of("red", 200)}
        page.locator("#files").set_input_files([red])  # pyright: ignore[reportArgumentType]
        shown = page.locator(".similar li")
        expect(shown).to_have_text(["red", "red", "blue", "green"])
        expect(shown.nth(0)).to_have_attribute("title", "red/d.png, similarity 1.00")
        tile = shown.nth(0).locator(".tile")
        # The fourth of rows of three.
        expect(tile).to_have_css("background-position", "0px -64px")
        page.screenshot(path=tmp_path / "similar.png", full_page=True)
