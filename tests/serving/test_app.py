import concurrent.futures
import dataclasses
import io
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders.colours import CLASSES, image_of, write_models
from builders.images import encode
from builders.web.serving import form, served
from fastapi.testclient import TestClient
from PIL import Image
from pillow_heif import from_pillow

from classifier.core.errors import UserError
from classifier.inference.onnx_runtime import Outputs
from classifier.inference.predict import Model, load_model
from classifier.serving.app import build_app
from classifier.serving.schemas import BatchPredictResponse, ModelInfo, PredictResponse
from classifier.serving.served_model import prepare

KEY = "a-key-of-24-characters!!"
RED, GREEN, BLUE = (image_of(colour) for colour in CLASSES)


def test_one_image_of_a_form_is_answered_as_documented(client: TestClient, models: Path) -> None:
    response = client.post("/predict", files=form(BLUE))
    answer = PredictResponse.model_validate(response.json(), strict=True)
    expected = load_model(models).predict(BLUE)
    assert (answer.label, answer.index) == ("blue", 2)
    assert answer.probability == pytest.approx(expected.probability, abs=1e-6)
    assert list(answer.probabilities) == CLASSES
    assert sum(answer.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert answer.model == load_model(models).version
    assert answer.milliseconds > 0


def test_image_as_the_body_gives_the_same_answer(client: TestClient) -> None:
    for kind in ("image/png", "application/octet-stream", "Image/JPEG"):
        response = client.post("/predict", content=GREEN, headers={"content-type": kind})
        assert PredictResponse.model_validate(response.json()).label == "green"


def test_photos_of_phones_are_answered(client: TestClient) -> None:
    photo = io.BytesIO()
    from_pillow(Image.open(io.BytesIO(RED))).save(photo, quality=90)
    sent = (("heic", photo.getvalue(), "red"), ("avif", image_of("green", kind="AVIF"), "green"))
    for kind, content, label in sent:
        headers = {"content-type": f"image/{kind}"}
        assert client.post("/predict", content=content, headers=headers).json()["label"] == label


def test_frames_that_are_not_looked_at_are_told_in_the_answer(client: TestClient) -> None:
    first, second = (Image.open(io.BytesIO(content)) for content in (RED, BLUE))
    frames = encode(first, "PNG", save_all=True, append_images=[second])
    one, several = client.post("/predict", files=form(RED, frames)).json()["answers"]
    assert (one["label"], one["warnings"]) == ("red", [])
    assert several["label"] == "red"
    assert several["warnings"] == ["it is an animation, of which the first frame is taken"]


def test_limit_of_pixels_is_never_above_that_of_the_model(models: Path) -> None:
    model = load_model(models)
    spec = model.spec.model_copy(update={"max_pixels": 100})
    low = dataclasses.replace(model, spec=spec)
    with pytest.raises(UserError, match="20 x 20 pixels; 100 is the limit"):
        low.decode(half_red(20), max_pixels=10_000)
    with pytest.raises(UserError, match="50 is the limit"):
        low.decode(half_red(8), max_pixels=50)


def test_several_images_are_answered_in_order_bad_ones_among_them(client: TestClient) -> None:
    response = client.post("/predict?top_k=1", files=form(BLUE, b"no image", RED, b""))
    several = BatchPredictResponse.model_validate(response.json(), strict=True)
    first, second, third, empty = response.json()["answers"]
    assert [one.name for one in several.answers] == [f"{number}.png" for number in range(4)]
    assert (first["label"], third["label"]) == ("blue", "red")
    assert len(first["top"]) == 1
    assert "no image in a known format" in second["error"]
    assert empty["error"] == "it is empty."


def half_red(side: int = 20) -> bytes:
    image = Image.new("RGB", (side, side), "blue")
    image.paste("red", (0, 0, side // 2, side))
    return encode(image, "PNG")


def test_heat_map_is_the_square_that_the_model_sees(client: TestClient) -> None:
    response = client.post("/heatmap?index=0", files=form(half_red()))
    assert response.headers["content-type"] == "image/png"
    heat = np.asarray(Image.open(io.BytesIO(response.content))).astype(int)
    assert heat.shape == (12, 12, 3)
    left, right = heat[6, 1], heat[6, -2]
    assert left[0] > left[2] + 60  # red or yellow
    assert right.tolist() == [right[0]] * 3  # grey


def test_heat_map_without_an_index_is_of_the_best_class(client: TestClient) -> None:
    blue = client.post("/heatmap", content=BLUE, headers={"content-type": "image/png"})
    assert blue.content == client.post("/heatmap?index=2", files=form(BLUE)).content


@pytest.mark.parametrize(
    ("index", "contents", "status", "reason"),
    [
        ("3", [RED], 422, "index: the model has 3 classes, from 0 on."),
        ("-1", [RED], 422, "index: "),
        ("0", [b"no image"], 422, "0.png: it is no image"),
        ("0", [RED, BLUE], 400, "Send one image for a heat map."),
    ],
)
def test_heat_map_of_what_is_not_there_is_refused(
    client: TestClient, index: str, contents: list[bytes], status: int, reason: str
) -> None:
    response = client.post(f"/heatmap?index={index}", files=form(*contents))
    assert response.status_code == status
    assert response.json()["error"].startswith(reason)


def test_one_heat_map_is_drawn_at_a_time(models: Path) -> None:
    model = load_model(models)
    started, go_on = threading.Event(), threading.Event()

    def slow(images: np.ndarray) -> Outputs:
        started.set()
        assert go_on.wait(60)
        return model.predictor(images)

    waiting = dataclasses.replace(model, predictor=slow)
    with (
        TestClient(build_app(served(models, model=waiting))) as client,
        concurrent.futures.ThreadPoolExecutor() as pool,
    ):
        first = pool.submit(client.post, "/heatmap?index=0", files=form(RED))
        assert started.wait(60)
        second = client.post("/heatmap?index=0", files=form(RED))
        assert (second.status_code, second.headers["retry-after"]) == (503, "1")
        go_on.set()
        assert first.result().status_code == 200


def test_doubtful_image_is_unknown(models: Path) -> None:
    model = load_model(models, reject_below=0.9)
    with TestClient(build_app(served(models, model=model))) as client:
        answer = client.post("/predict", files=form(image_of("grey"))).json()
    assert (answer["label"], answer["index"]) == ("unknown", None)
    PredictResponse.model_validate(answer)


def test_model_tells_classes_hashes_and_card(client: TestClient) -> None:
    card = ModelInfo.model_validate(client.get("/model").json(), strict=True)
    assert card.classes == CLASSES
    assert card.files["model.onnx"].startswith(card.model)
    assert card.card is not None
    assert card.card.startswith("# Colours\n")
    assert card.description["input_size"] == 12


def test_card_of_another_export_is_not_shown(tmp_path: Path) -> None:
    folder = write_models(tmp_path)
    (folder / "MODEL_CARD.md").write_text(f"# Colours\n{'0' * 64}\n")
    found = prepare(lambda: load_model(folder, threads=1), folder, int8=False, runtime="onnx")
    assert found.info["card"] is None
    assert "MODEL_CARD.md is of another export and not shown" in found.found


def test_health_says_live_and_ready(client: TestClient) -> None:
    assert client.get("/health/live").json() == {"status": "live"}
    assert client.get("/health/ready").json() == {"status": "ready"}


def test_metrics_count_requests_and_images(models: Path) -> None:
    with TestClient(build_app(served(models))) as client:
        client.post("/predict", files=form(RED, RED, b"bad"))
        client.get("/nothing")
        text = client.get("/metrics").text
    assert 'classifier_images_total{label="red"} 2.0' in text
    assert 'classifier_images_total{label=""} 1.0' in text
    assert 'classifier_requests_total{status="404"} 1.0' in text
    assert 'classifier_stage_seconds_count{stage="decoding"} 2.0' in text
    assert "classifier_request_seconds_count 1.0" in text


def raw(kind: str, content: bytes = RED) -> dict[str, object]:
    return {"content": content, "headers": {"content-type": kind}}


@pytest.mark.parametrize(
    ("request_", "status", "reason"),
    [
        ({"files": form(b"")}, 422, "it is empty"),
        (raw("image/png", b""), 422, "it is empty"),
        ({"files": form(RED[:60])}, 422, "damaged or cut short"),
        ({"files": form(b"<svg xmlns='http://www.w3.org/2000/svg'/>")}, 422, "no image in a"),
        ({"files": form(b"%PDF-1.7")}, 422, "no image in a known format"),
        ({"files": form(image_of("red", 101))}, 422, "10,000 is the limit"),
        ({"files": form(bytes(100_001))}, 413, "100,000 is the limit"),
        ({"files": form(*[RED] * 5)}, 400, "Too many files"),
        ({"files": form(RED, field="photo")}, 400, "files as the field 'image'"),
        ({"data": {"image": "text"}, "files": form(RED)}, 400, "files as the field 'image'"),
        ({"data": {"image": "text"}}, 415, "multipart/form-data with the field 'image'"),
        (raw("multipart/form-data"), 400, "Missing boundary"),
        (raw("multipart/form-data; boundary=x"), 400, "cannot be read"),
        (raw("text/plain"), 415, "multipart/form-data with the field 'image'"),
        ({"content": RED}, 415, "multipart/form-data with the field 'image'"),
    ],
)
def test_bad_request_is_refused_with_a_reason(
    client: TestClient, request_: dict[str, object], status: int, reason: str
) -> None:
    response = client.post("/predict", **request_)  # pyright: ignore[reportArgumentType] (any)
    assert (response.status_code, list(response.json())) == (status, ["error"])
    assert reason in response.json()["error"]


def test_body_without_a_declared_size_is_cut_at_the_limit(client: TestClient) -> None:
    response = client.post(
        "/predict", content=(bytes(1000) for _ in range(200)), headers={"content-type": "image/png"}
    )
    assert (response.status_code, "100,000" in response.json()["error"]) == (413, True)


@pytest.mark.parametrize("top_k", ["0", "x", "1001", ""])
def test_parameter_out_of_range_is_refused(client: TestClient, top_k: str) -> None:
    response = client.post("/predict", params={"top_k": top_k}, files=form(RED))
    assert response.status_code == 422
    assert response.json()["error"].startswith("top_k: ")


def test_wrong_method_and_path_are_refused_as_json(client: TestClient) -> None:
    assert client.get("/predict").json() == {"error": "Method Not Allowed."}
    assert client.get("/predict").headers["allow"] == "POST"
    assert client.get("/nothing").json() == {"error": "Not Found."}


class Stuck(Model):
    """Takes a second for an image."""

    def read(self, content, max_pixels=None, admit=None):
        concurrent.futures.wait([concurrent.futures.Future()], 1)
        return super().read(content, max_pixels, admit)


def stuck_client(models: Path, **limits: Any) -> TestClient:
    model = Stuck(**vars(load_model(models, threads=1)))
    return TestClient(build_app(served(models, model, None, **limits)))


def test_full_queue_answers_503_and_when_to_try_again(models: Path) -> None:
    with stuck_client(models, max_waiting=2) as client:
        response = client.post("/predict", files=form(*[RED] * 3))
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        assert "Too many images are waiting" in response.json()["error"]


def test_answer_that_takes_too_long_is_a_503(models: Path) -> None:
    with stuck_client(models, answer_seconds=0.05) as client:
        response = client.post("/predict", files=form(RED))
        assert response.status_code == 503
        assert "no answer after 0.05 seconds" in response.json()["error"]


def test_uploads_that_would_fill_the_memory_are_refused(models: Path) -> None:
    with TestClient(build_app(served(models, max_buffered=100))) as client:
        response = client.post("/predict", files=form(RED))
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")


def test_key_is_asked_for_where_there_is_one(models: Path) -> None:
    with TestClient(build_app(served(models, api_key=KEY))) as client:
        for path in ("/model", "/metrics"):
            assert client.get(path).status_code == 401
        for given in (
            "",
            "Bearer",
            "Bearer wrong",
            f"Basic {KEY}",
            f"Bearer {KEY}x",
        ):
            response = client.post("/predict", files=form(RED), headers={"authorization": given})
            assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
        headers = {"authorization": f"Bearer {KEY}"}
        assert client.post("/predict", files=form(RED), headers=headers).status_code == 200
        assert client.get("/model", headers=headers).status_code == 200
        # The page asks for the key itself, and health checks have none.
        for path in ("/", "/docs", "/health/live", "/health/ready"):
            assert client.get(path).status_code == 200
