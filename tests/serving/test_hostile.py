"""What clients could send that no honest one would: thousands of damaged images and requests."""

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from builders.colours import IMAGE_SIZE, image_of, write_models
from builders.images import encode, noise
from builders.web.serving import running, served
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from classifier.core.errors import UserError
from classifier.inference.predict import Model, load_model
from classifier.processing.formats import FORMATS
from classifier.serving.app import build_app

# Pillow tells of what it can do without.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")
MAX_PIXELS = 1_000_000
WIDE = noise(24, 18).astype(np.uint16)[:, :, 0] * 257
FRAMES = [Image.fromarray(noise(20, 20, seed)) for seed in range(3)]
# At least one of every decoder and of every way to store pixels.
SOUND = {
    "JPEG": encode(noise(40, 30), "JPEG"),
    "progressive JPEG": encode(noise(40, 30), "JPEG", progressive=True),
    "CMYK JPEG": encode(Image.fromarray(noise(40, 30)).convert("CMYK"), "JPEG"),
    "PNG": encode(noise(20, 30)),
    "PNG with a palette": encode(Image.fromarray(noise(20, 30)).convert("P"), transparency=3),
    "PNG of 16 bits": encode(Image.fromarray(WIDE)),
    "animated PNG": encode(FRAMES[0], save_all=True, append_images=FRAMES[1:]),
    "WebP": encode(noise(20, 30), "WEBP"),
    "WebP without loss": encode(noise(20, 30), "WEBP", lossless=True),
    "animated WebP": encode(FRAMES[0], "WEBP", save_all=True, append_images=FRAMES[1:]),
    "animated GIF": encode(FRAMES[0], "GIF", save_all=True, append_images=FRAMES[1:]),
    "BMP": encode(noise(20, 30), "BMP"),
    "TIFF": encode(noise(20, 30), "TIFF"),
    "TIFF with LZW": encode(noise(20, 30), "TIFF", compression="tiff_lzw"),
    "TIFF of 16 bits": encode(Image.fromarray(WIDE), "TIFF"),
    "PPM": encode(noise(20, 30), "PPM"),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def model(models: Path) -> Model:
    return load_model(models)


@pytest.fixture(scope="module")
def client(models: Path) -> Iterator[TestClient]:
    app = build_app(served(models, max_pixels=MAX_PIXELS, formats=FORMATS))
    # A fault of ours becomes a status 500, as it would for a client.
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A sound image with some bytes changed, a stretch taken out or doubled, its end cut off."""
    content = bytearray(draw(st.sampled_from(sorted(SOUND.values()))))
    places = st.integers(0, len(content) - 1)
    # Headers are where decoders take decisions.
    early = st.integers(0, min(100, len(content) - 1))
    for place in draw(st.lists(places | early, max_size=6)):
        content[place] = draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]) | st.integers(0, 255))
    first, last = sorted((draw(places), draw(places)))
    change = draw(st.sampled_from(["none", "cut", "remove", "double"]))
    if change == "cut":
        del content[last:]
    elif change == "remove":
        del content[first:last]
    elif change == "double":
        content[last:last] = content[first:last]
    return bytes(content)


slow = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_every_kind_of_image_is_read(model: Model) -> None:
    for kind, content in SOUND.items():
        assert model.decode(content).shape == (IMAGE_SIZE, IMAGE_SIZE, 3), kind


@settings(slow, max_examples=1500)
@given(content=damaged())
def test_damaged_image_gives_pixels_or_a_sentence(model: Model, content: bytes) -> None:
    try:
        pixels = model.decode(content, MAX_PIXELS)
    except UserError:
        return
    assert (pixels.shape, pixels.dtype) == ((IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)


@settings(slow, max_examples=200)
@given(contents=st.lists(damaged() | st.binary(max_size=100), min_size=1, max_size=3))
def test_damaged_images_never_disturb_the_server(client: TestClient, contents: list[bytes]) -> None:
    files = [("image", ("image", content)) for content in contents]
    response = client.post("/predict", files=files)
    assert response.status_code in (200, 422)
    assert response.status_code == 200 or list(response.json()) == ["error"]
    assert client.post("/predict", files={"image": image_of("red")}).json()["label"] == "red"


@settings(slow, max_examples=200)
@given(body=st.binary(max_size=300), edits=st.lists(st.integers(0, 400), max_size=8))
def test_damaged_form_is_refused_or_answered(
    client: TestClient, body: bytes, edits: list[int]
) -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
    content = bytearray(head + body + b"\r\n--x--\r\n")
    for place in edits:
        content[place % len(content)] ^= 0x55
    headers = {"content-type": "multipart/form-data; boundary=x"}
    response = client.post("/predict", content=bytes(content), headers=headers)
    assert response.status_code in (400, 422)
    assert list(response.json()) == ["error"]


def test_small_file_that_promises_a_large_image_is_refused(client: TestClient) -> None:
    bombs = {
        "PNG": encode(Image.new("1", (20_000, 20_000))),
        "GIF": encode(Image.new("P", (3000, 3000)), "GIF"),
        "WebP": encode(Image.new("RGB", (3000, 3000)), "WEBP"),
        "TIFF": encode(Image.new("1", (20_000, 2000)), "TIFF", compression="group4"),
    }
    for kind, bomb in bombs.items():
        assert len(bomb) < 100_000, kind
        response = client.post("/predict", files={"image": bomb})
        assert response.status_code == 422, kind
        assert "limit" in response.json()["error"], kind


@pytest.mark.parametrize(
    "content",
    [
        b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'><image href='/etc/passwd'/>",
        b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
        b"PK\x03\x04" + bytes(30),
        b"\x7fELF" + bytes(60),
    ],
)
def test_what_is_no_image_is_refused_whatever_it_is_called(
    client: TestClient, content: bytes
) -> None:
    file = ("photo.jpg", io.BytesIO(content), "image/jpeg")
    response = client.post("/predict", files={"image": file})
    assert response.status_code == 422
    assert "photo.jpg: it is no image in a known format" in response.json()["error"]


def test_file_name_is_given_back_as_text_whatever_it_holds(client: TestClient) -> None:
    name = '../<b>"x"\u202e\n.png'
    file = (name, b"no image")
    response = client.post("/predict", files=[("image", file), ("image", image_of("red"))])
    assert response.headers["content-type"] == "application/json"
    assert response.status_code == 200
    assert "known format" in json.loads(response.text)["answers"][0]["error"]


def test_server_keeps_to_its_openapi_document(tmp_path: Path) -> None:
    """What schemathesis sends is not always an image, which no document can say, so that a
    valid request may still be refused."""
    models = write_models(tmp_path / "models", with_similar=True)
    with running(served(models, max_pixels=MAX_PIXELS)) as url:
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json"]
        options = ["--checks=all", "--exclude-checks=positive_data_acceptance"]
        amount = ["--max-examples=40", "--seed=1", "--generation-database=none"]
        done = subprocess.run(
            [*command, *options, *amount],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "No issues found" in done.stdout
