import re
from pathlib import Path

import pytest
from builders.colours import CLASSES, image_of
from builders.web.serving import form, served
from fastapi.testclient import TestClient

from classifier.inference.predict import Model, load_model
from classifier.serving.app import build_app

KEY = "a-key-of-24-characters!!"
RED, GREEN, BLUE = (image_of(colour) for colour in CLASSES)


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_need_nothing_from_elsewhere_and_may_load_nothing(
    client: TestClient, path: str
) -> None:
    response = client.get(path)
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert not re.search(r"""(src|href)=["'](https?:)?//""", response.text)
    assert "<script src" not in response.text


def test_every_answer_has_security_headers(client: TestClient) -> None:
    for path in ("/", "/health/live", "/nothing"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in headers["content-security-policy"]


class Faulty(Model):
    """Has a fault of ours."""

    def read(self, content, max_pixels=None, admit=None):
        raise RuntimeError("a fault of ours")


def test_fault_of_the_server_is_counted_and_has_the_security_headers(models: Path) -> None:
    faulty = Faulty(**vars(load_model(models, threads=1)))
    with TestClient(build_app(served(models, faulty))) as client:
        response = client.post("/predict", files=form(RED))
        assert (response.status_code, list(response.json())) == (500, ["error"])
        assert response.headers["x-content-type-options"] == "nosniff"
        assert 'classifier_requests_total{status="500"} 1.0' in client.get("/metrics").text


@pytest.mark.parametrize("charset", ["punycode", "utf-16", "idna", "no-such-charset", "rot13"])
def test_charset_of_a_form_is_not_the_server_s_business(client: TestClient, charset: str) -> None:
    kind = f"multipart/form-data; boundary=x; charset={charset}"
    head = 'Content-Disposition: form-data; name="image"; filename="a\u00e9\udcff-.png"'
    body = b"--x\r\n" + head.encode("utf-8", "surrogatepass") + b"\r\n\r\nno\r\n--x--\r\n"
    response = client.post("/predict", content=body, headers={"content-type": kind})
    assert response.status_code == 422
    assert "known format" in response.json()["error"]


def test_head_is_answered_as_get_without_a_body(client: TestClient) -> None:
    head, get = client.head("/health/live"), client.get("/health/live")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"]


def test_request_for_another_host_is_refused(models: Path) -> None:
    named = served(models, allowed_hosts=("cats.example.org", "testserver"))
    with TestClient(build_app(named)) as client:
        assert client.get("/health/live").status_code == 200
        for host, status in (("cats.example.org:8000", 200), ("evil.example.org", 400)):
            assert client.get("/health/live", headers={"host": host}).status_code == status


def test_openapi_names_the_key_as_a_security_scheme(models: Path) -> None:
    document = build_app(served(models, api_key=KEY)).openapi()
    schemes = document["components"]["securitySchemes"]
    assert [scheme["scheme"] for scheme in schemes.values()] == ["bearer"]
    assert document["paths"]["/predict"]["post"]["security"]


def test_image_in_a_format_that_is_not_taken_is_refused(client: TestClient) -> None:
    response = client.post("/predict", files=form(image_of("red", kind="BMP")))
    assert response.status_code == 422
    assert "it is a BMP file; this server takes JPEG, PNG" in response.json()["error"]


def test_image_that_needs_more_memory_than_there_is_is_refused(models: Path) -> None:
    with TestClient(build_app(served(models, max_decoded=10 << 20))) as client:
        response = client.post("/predict", files=form(image_of("red", 2000, "WEBP")))
        assert response.status_code == 422
        assert "takes up to 84 MiB of memory; 10 is the limit" in response.json()["error"]


def test_one_address_fills_no_more_than_its_share_of_the_uploads(models: Path) -> None:
    with TestClient(build_app(served(models, max_buffered=10_000))) as client:
        headers = {"content-type": "image/png"}
        assert client.post("/predict", content=bytes(4_900), headers=headers).status_code == 422
        assert client.post("/predict", content=bytes(5_100), headers=headers).status_code == 503


def test_boundary_of_any_length_is_no_fault_of_the_server(client: TestClient) -> None:
    kind = {"content-type": f"multipart/form-data; boundary={'b' * 300}"}
    response = client.post("/predict", content=b"x", headers=kind)
    assert response.status_code == 400
    assert "The form cannot be read" in response.json()["error"]


def test_slash_too_many_leads_nowhere(client: TestClient) -> None:
    response = client.get("/model/", headers={"host": "elsewhere.example"}, follow_redirects=False)
    assert response.status_code == 404
