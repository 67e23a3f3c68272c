import io
from pathlib import Path

import numpy as np
import pytest
from builders.colours import SPEC, image_of, write_models
from builders.images import encode, noise
from PIL import ExifTags, Image

from classifier.core.errors import UserError
from classifier.inference.image_inputs import decode_input
from classifier.inference.predict import Model, load_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load_model(write_models(tmp_path_factory.mktemp("models")))


def test_every_form_of_an_image_gives_the_same_answer(model: Model, tmp_path: Path) -> None:
    pixels = noise(40, 30)
    path = tmp_path / "image.png"
    path.write_bytes(encode(pixels))
    expected = model.predict(path).probabilities.tolist()
    with path.open("rb") as file, Image.open(path) as opened:
        forms = [
            str(path), path.read_bytes(), bytearray(path.read_bytes()), file,
            io.BytesIO(path.read_bytes()), opened, Image.fromarray(pixels), pixels,
            np.asfortranarray(pixels),
        ]  # fmt: skip
        for form in forms:
            assert model.predict(form).probabilities.tolist() == expected, form


def test_grey_array_is_an_image_of_equal_channels(model: Model) -> None:
    grey = noise(40, 30)[..., 0]
    colour = np.repeat(grey[..., None], 3, axis=2)
    assert (
        model.predict(grey).probabilities.tolist() == model.predict(colour).probabilities.tolist()
    )


def test_orientation_of_a_pil_image_counts_as_in_its_file(model: Model, tmp_path: Path) -> None:
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = 6
    path = tmp_path / "turned.png"
    path.write_bytes(encode(noise(40, 30), exif=tags))
    with Image.open(path) as opened:
        decoded = decode_input(opened, SPEC.preprocessing)
    np.testing.assert_array_equal(decoded.pixels, decode_input(path, SPEC.preprocessing).pixels)
    assert (decoded.width, decoded.height) == (30, 40)


def test_pil_image_of_16_bits_follows_the_white_level() -> None:
    values = np.full((8, 8), 32768, np.uint16)
    assert (decode_input(Image.fromarray(values), SPEC.preprocessing).pixels == 128).all()


def test_list_gives_a_list_of_answers_in_its_order(model: Model) -> None:
    colours = ["red", "green", "blue"] * 7
    images = [image_of(colour) for colour in colours]
    assert [answer.label for answer in model.predict(images)] == colours
    assert model.predict([]) == []


def test_wrong_image_of_a_list_is_named_by_its_number(model: Model) -> None:
    with pytest.raises(UserError, match="image 17 of the list: it is no image"):
        model.predict([image_of("red")] * 17 + [b"x"])


@pytest.mark.parametrize(
    ("thing", "sentence"),
    [
        ({}, "not a dict"),
        (5, "not an int"),
        (None, "not None"),
        (io.StringIO("text"), "not open in binary mode"),
        (np.zeros((8, 8, 3)), r"not one of float64, 8 x 8 x 3\."),
        (np.zeros((8, 8, 4), np.uint8), "not one of uint8, 8 x 8 x 4"),
        (np.zeros((2, 8, 8, 3), np.uint8), "for several images, give a list"),
        (np.zeros((0, 8, 3), np.uint8), "no pixels"),
        (b"text", "no image in a known format"),
    ],
)
def test_wrong_thing_is_named_as_what_it_is(model: Model, thing: object, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        model.predict(thing)  # pyright: ignore[reportArgumentType, reportCallIssue]


def test_pil_image_that_is_closed_or_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(encode(noise(40, 30)))
    with Image.open(path) as opened:
        pass
    with pytest.raises(UserError, match="damaged or cut short"):
        decode_input(opened, SPEC.preprocessing)
    with pytest.raises(UserError, match="89,000,000 is the limit"):
        decode_input(Image.new("1", (10_000, 9_000)), SPEC.preprocessing)
