"""Clients that are slow, cut off, or do not speak HTTP, each against a server on a real socket."""

import io
import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from builders.colours import image_of, write_models
from builders.web.serving import exchange, running, running_as, served
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from classifier.serving.request_log import RequestLog
from classifier.serving.server import ClassifierServer

HEADER = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
IMAGE = image_of("red")
WHOLE = HEADER + b"Content-Length: %d\r\n\r\n" % len(IMAGE) + IMAGE


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    models = write_models(tmp_path_factory.mktemp("models"))
    seconds = {"upload_seconds": 2, "header_seconds": 1.5, "write_seconds": 2, "min_rate": 1}
    limits: dict[str, Any] = {"max_body": 100_000, "header_bytes": 8192, **seconds}
    with running(served(models, max_connections=20, **limits)) as url:
        yield url
        # Whatever a test did, the server is as well as before.
        assert label(exchange(url, WHOLE)) == "red"


def test_uvicorn_s_private_connection_class_has_what_is_used_of_it() -> None:
    # Seen with uvicorn 0.54.0. Raise the bound in pyproject.toml when this passes with a later one.
    overridden = {
        *("connection_made", "connection_lost", "data_received", "pause_writing"),
        *("resume_writing", "send_400_response", "on_message_begin", "on_headers_complete"),
        *("on_body", "on_message_complete", "on_response_complete"),
    }
    assert overridden <= vars(HttpToolsProtocol).keys()
    bounds = (Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8")
    assert re.search(r'"uvicorn>=[\d.]+,<0\.55"', bounds)


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[str]:
    """A server that gives its clients the usual time."""
    with running(served(write_models(tmp_path / "models"), max_connections=20)) as url:
        yield url


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


def reason(answer: bytes) -> str:
    """The reason of an answer whose body must be JSON and say no more."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/json" in head.lower()
    content = json.loads(body)
    assert list(content) == ["error"]
    return content["error"]


def label(answer: bytes) -> str:
    return json.loads(answer.partition(b"\r\n\r\n")[2])["label"]


@pytest.mark.parametrize("framing", [b"Content-Length: 50", b"Transfer-Encoding: chunked"])
def test_request_for_another_protocol_loses_no_body(url: str, framing: bytes) -> None:
    """curl --http2 and Java's client ask so; the parser takes the body for the next request."""
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    request = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    for pieces in ([request], [b"", request]):
        head = HEADER + framing + b"\r\n" + upgrade + b"\r\n"
        answer = exchange(url, head + pieces[0], *pieces[1:])
        assert status(answer) == 400
        assert "without the header Upgrade" in reason(answer)
        assert answer.count(b"HTTP/1.1 ") == 1
    assert status(exchange(url, request.replace(b"\r\n\r\n", b"\r\n" + upgrade + b"\r\n"))) == 200


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_request_in_pieces_is_answered(url: str, size: int) -> None:
    pieces = [WHOLE[start : start + size] for start in range(0, len(WHOLE), size)]
    assert label(exchange(url, *pieces)) == "red"


@pytest.mark.parametrize(
    ("sent", "seconds"), [(b"", 1.5), (b"POST /pre", 1.5), (HEADER, 1.5), (WHOLE[:-5], 2)]
)
def test_request_that_does_not_come_to_its_end_is_answered(
    url: str, sent: bytes, seconds: float
) -> None:
    answer = exchange(url, sent)
    assert status(answer) == 408
    assert f"not complete after {seconds} seconds" in reason(answer)


def test_log_has_the_status_that_the_client_got(tmp_path: Path) -> None:
    log = io.StringIO()
    service = served(write_models(tmp_path / "models"), upload_seconds=0.5)
    with running_as(ClassifierServer(service, RequestLog(log))) as url:
        answer = exchange(url, WHOLE[:-5])
    assert status(answer) == 408
    assert json.loads(log.getvalue())["status"] == 408


def test_trickle_does_not_extend_the_deadline(url: str) -> None:
    pieces = [WHOLE[place : place + 1] for place in range(40)]
    assert status(exchange(url, *pieces, pause=0.1)) == 408


def test_connection_that_is_kept_has_a_new_deadline_for_each_request(url: str) -> None:
    with httpx.Client(base_url=url) as client:
        for _ in range(4):
            assert client.post("/predict", files={"image": IMAGE}).status_code == 200
            time.sleep(0.6)


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\r\n\r\n\r\nnonsense\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 2\r\n\r\n",
        HEADER + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_not_http_is_a_400_with_a_reason(url: str, sent: bytes) -> None:
    answer = exchange(url, sent)
    assert status(answer) == 400
    assert "header of at most 8,192 bytes" in reason(answer)


@pytest.mark.parametrize("hosts", [b"", b"Host: x\r\nHost: y\r\n"])
def test_request_without_one_host_is_refused(url: str, hosts: bytes) -> None:
    answer = exchange(url, b"GET / HTTP/1.1\r\n" + hosts + b"\r\n")
    assert status(answer) == 400
    assert "one header Host" in reason(answer)


@pytest.mark.parametrize(
    "header",
    [b"Long: " + b"a" * 9_000 + b"\r\n", b"A: b\r\n" * 101, b"A: b\r\n" * 5_000],
)
def test_huge_header_is_refused(url: str, header: bytes) -> None:
    sent = b"GET /health/live HTTP/1.1\r\nHost: x\r\n" + header + b"\r\n"
    answer = exchange(url, sent)
    assert status(answer) == 431
    assert "100 fields with 8,192 bytes are the limit" in reason(answer)
    in_pieces = exchange(url, *[sent[at : at + 3000] for at in range(0, len(sent), 3000)])
    assert status(in_pieces) in (400, 431)


def test_body_that_is_too_large_is_refused_before_it_is_sent(url: str) -> None:
    answer = exchange(url, HEADER + b"Content-Length: 99999999\r\n\r\n")
    assert status(answer) == 413
    assert "99,999,999 bytes" in reason(answer)


def test_client_that_sends_all_of_a_large_body_reads_why_it_is_refused(url: str) -> None:
    response = httpx.post(f"{url}/predict", files={"image": bytes(3_000_000)})
    assert response.status_code == 413


@pytest.mark.parametrize("sent", [b"POST", HEADER, WHOLE[:-5], WHOLE])
def test_client_that_goes_away_leaves_no_trace(
    url: str, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(5):
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(sent)
    assert label(exchange(url, WHOLE)) == "red"
    assert not [record for record in caplog.records if record.exc_info]


def connect(url: str) -> socket.socket:
    host, port = url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=60)


@pytest.mark.parametrize("sent", [b"", b"GET / HT", HEADER + b"Content-Length: 50\r\n\r\nab"])
def test_oldest_connection_that_waits_for_its_client_makes_room(patient: str, sent: bytes) -> None:
    others = [connect(patient) for _ in range(20)]
    try:
        for other in others:
            other.sendall(sent)
        assert httpx.get(f"{patient}/health/live", timeout=60).status_code == 200
        others[0].settimeout(60)
        end = others[0].recv(1000)
        assert end == b"" or status(end) == 503
        others[-1].setblocking(False)
        with pytest.raises(BlockingIOError):
            others[-1].recv(1)
    finally:
        for other in others:
            other.close()


def sent_until_refused(connection: socket.socket, part: bytes, seconds: float) -> int:
    """Send the part again and again until the server ends the connection; returns the bytes."""
    sent, begun = 0, time.monotonic()
    while time.monotonic() - begun < seconds:
        try:
            sent += connection.send(part)
        except TimeoutError:
            continue
        except OSError:
            return sent
    raise AssertionError("the server has not ended the connection")


def test_body_of_crumbs_is_refused(url: str) -> None:
    body = b"1\r\nx\r\n" * 20_000
    answer = exchange(url, HEADER + b"Transfer-Encoding: chunked\r\n\r\n" + body)
    assert status(answer) == 400
    assert "chunks of at least 64 bytes" in reason(answer)


def test_no_more_than_a_body_is_read_after_a_refusal(url: str) -> None:
    with connect(url) as connection:
        connection.sendall(HEADER + b"Content-Length: 99999999\r\n\r\n")
        # What the sockets of both sides hold comes on top.
        assert sent_until_refused(connection, bytes(10_000), seconds=60) < 20_000_000


def test_client_that_never_reads_is_dropped(url: str) -> None:
    host, port = url.removeprefix("http://").split(":")
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((host, int(port)))
        connection.settimeout(1)
        asked = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 4
        assert sent_until_refused(connection, asked, seconds=60) < 20_000_000


def test_several_requests_at_once_on_one_connection_are_all_answered(url: str) -> None:
    answers = exchange(url, WHOLE * 3)
    assert answers.count(b"HTTP/1.1 200") == 3


def test_flood_of_requests_on_one_connection_is_refused(url: str) -> None:
    answer = exchange(url, b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n" * 5_000)
    assert b"At most 8 requests may wait on one connection." in answer
