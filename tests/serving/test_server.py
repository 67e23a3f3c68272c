import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from builders.colours import colours_onnx, image_of, rewrite, write_models
from builders.images import encode
from PIL import Image

from classifier.commands import serve
from classifier.core.errors import UserError
from classifier.serving.limits import Limits, most_memory
from classifier.serving.server import read_key

REPOSITORY = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "classifier", "serve", "--port", "0", "--processes", "0"]
COMMAND += ["--runtime", "onnx"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}


@contextmanager
def program(folder: Path, *arguments: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """The server as a program, and its address."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [*COMMAND, *arguments], cwd=folder, env=ENVIRONMENT, stdout=pipe, stderr=pipe, text=True
    ) as process:
        try:
            assert process.stdout is not None
            checked, address = process.stdout.readline(), process.stdout.readline()
            assert "3 golden images" in checked
            found = re.search(r"http://127\.0\.0\.1:\d+", address)
            assert found is not None
            yield process, found[0]
        finally:
            process.kill()


def failure(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "Serving on" not in done.stdout
    assert "Traceback" not in done.stderr
    return done.stderr


def test_server_that_would_answer_wrongly_does_not_start(tmp_path: Path) -> None:
    write_models(tmp_path / "models", golden_error=0.01)
    error = failure(tmp_path)
    assert error.startswith("error: model.onnx gives other answers here than where it was made")
    assert "allowed 0.001" in error


def test_address_that_is_taken_is_one_sentence(tmp_path: Path) -> None:
    write_models(tmp_path / "models")
    with program(tmp_path) as (_, url):
        error = failure(tmp_path, "--port", url.rsplit(":", 1)[1])
    assert re.fullmatch(r"error: .*[Aa]ddress already in use.*\n", error)


def test_shutdown_finishes_what_was_accepted(tmp_path: Path) -> None:
    write_models(tmp_path / "models")
    # One takes tenths of a second to decode, and there is one thread.
    slow = encode(np.zeros((3000, 4000, 3), np.uint8), compress_level=1)
    statuses: list[int] = []
    with program(tmp_path) as (process, url):

        def ask() -> None:
            files = [("image", slow)] * 10
            statuses.append(httpx.post(f"{url}/predict", files=files, timeout=60).status_code)

        asking = threading.Thread(target=ask)
        asking.start()
        with httpx.Client(base_url=url) as client:
            while asking.is_alive() and "classifier_waiting 0.0" in client.get("/metrics").text:
                time.sleep(0.01)
        assert asking.is_alive()
        process.send_signal(signal.SIGTERM)
        asking.join()
        assert process.wait(60) in (0, -signal.SIGTERM)
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
    assert statuses == [200]


def test_ctrl_c_is_no_error(tmp_path: Path) -> None:
    write_models(tmp_path / "models")
    with program(tmp_path) as (process, url):
        httpx.get(f"{url}/health/live")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")


def test_key_comes_from_a_file(tmp_path: Path) -> None:
    write_models(tmp_path / "models")
    (tmp_path / "key").write_text("0123456789abcdef0123\n")
    with program(tmp_path, "--api-key-file", "key") as (_, url):
        files = {"image": image_of("red")}
        assert httpx.post(f"{url}/predict", files=files).status_code == 401
        headers = {"Authorization": "Bearer 0123456789abcdef0123"}
        assert httpx.post(f"{url}/predict", files=files, headers=headers).status_code == 200


def half_sent(url: str) -> socket.socket:
    """A connection with an upload that is not complete."""
    host, port = url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=20)
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
    connection.sendall(head + b"Content-Length: 100\r\n\r\nhalf")
    return connection


def test_stalled_upload_does_not_delay_the_end(tmp_path: Path) -> None:
    write_models(tmp_path / "models")
    with (
        program(tmp_path, "--shutdown-seconds", "1") as (process, url),
        half_sent(url) as stalled,
        httpx.Client(base_url=url) as kept,
    ):
        assert kept.get("/health/ready").status_code == 200
        process.send_signal(signal.SIGTERM)
        # A client that keeps its connection is told with an answer, and not by a reset.
        last = kept.get("/health/live")
        assert (last.status_code, last.headers["connection"]) == (200, "close")
        assert b" 503 " in stalled.recv(100)
        assert process.wait(5) in (0, -signal.SIGTERM)


def test_server_that_stops_is_not_ready(tmp_path: Path) -> None:
    write_models(tmp_path / "models")
    with (
        program(tmp_path, "--shutdown-seconds", "5") as (process, url),
        half_sent(url),
        httpx.Client(base_url=url) as kept,
    ):
        assert kept.get("/health/ready").status_code == 200
        process.send_signal(signal.SIGTERM)
        answer = kept.get("/health/ready")
        assert (answer.status_code, answer.json()) == (503, {"error": "The server is stopping."})
        process.send_signal(signal.SIGINT)
        # The second signal ends it at once.
        assert process.wait(2) == 128 + signal.SIGINT


def answered_version(url: str) -> str:
    return httpx.post(f"{url}/predict", files={"image": image_of("red")}).json()["model"]


def wait_for_log(process: "subprocess.Popen[str]", text: str) -> str:
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return line
    raise AssertionError(f"the log ended without {text}")


def test_model_is_replaced_without_a_lost_request_and_a_damaged_one_is_refused(
    tmp_path: Path,
) -> None:
    models = write_models(tmp_path / "models")
    with program(tmp_path, "--processes", "1") as (process, url):
        before = answered_version(url)
        statuses: list[int] = []
        going = threading.Event()

        def ask() -> None:
            with httpx.Client(base_url=url) as client:
                while not going.is_set():
                    files = {"image": image_of("blue")}
                    statuses.append(client.post("/predict", files=files).status_code)

        asking = threading.Thread(target=ask)
        asking.start()
        write_models(models, golden_error=0.01)
        process.send_signal(signal.SIGHUP)
        line = wait_for_log(process, "the model is not replaced")
        assert "gives other answers here than where it was made" in line
        assert answered_version(url) == before
        write_models(models)
        rewrite(models / "export", "golden.json", b'{"classes": ' + b"9" * 400 + b"}")
        process.send_signal(signal.SIGHUP)
        wait_for_log(process, "the model is not replaced")
        write_models(models, factor=0.2)
        process.send_signal(signal.SIGHUP)
        wait_for_log(process, "the model is replaced")
        assert answered_version(url) != before
        going.set()
        asking.join()
        assert set(statuses) == {200}


def test_json_log_says_what_a_request_cost_and_shows_no_image_or_key(tmp_path: Path) -> None:
    write_models(tmp_path / "models")
    (tmp_path / "key").write_text("0123456789abcdef0123\n")
    (tmp_path / "key").chmod(0o600)
    with program(tmp_path, "--log", "json", "--api-key-file", "key") as (process, url):
        headers = {"Authorization": "Bearer 0123456789abcdef0123", "X-Request-ID": "from-outside-1"}
        files = {"image": ("secret-name.png", image_of("red"))}
        httpx.get(f"{url}/model?key=0123456789abcdef0123", headers=headers)
        assert "0123456789abcdef" not in wait_for_log(process, "/model")
        answer = httpx.post(f"{url}/predict?top_k=1", files=files, headers=headers)
        assert answer.headers["x-request-id"] == "from-outside-1"
        text = wait_for_log(process, "/predict")
        assert "0123456789abcdef" not in text
        assert "secret-name" not in text
        line = json.loads(text)
        assert (line["id"], line["status"], line["path"]) == ("from-outside-1", 200, "/predict")
        assert line["bytes"] > len(image_of("red"))
        (image,) = line["images"]
        assert image["label"] == "red"
        times = ("waiting", "decoding", "inference")
        assert all(image[f"{name}_milliseconds"] >= 0 for name in times)
        made = httpx.get(f"{url}/health/live", headers={"X-Request-ID": "a b"})
        assert re.fullmatch("[0-9a-f]{16}", made.headers["x-request-id"])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--max-waiting", "-5"], "-5 is no whole number from 1 to 100,000"),
        (["--max-megapixels", "0"], "0 is no whole number from 1"),
        (["--port", "70000"], "70000 is no whole number from 0 to 65,535"),
        (["--port", "x"], "x is no whole number"),
        (["--processes", "-1"], "-1 is no whole number from 0 to 256"),
        (["--reject", "nan"], "nan is not between 0 and 1"),
        (["--reject", "x"], "x is no number"),
        (["--outside", "x"], "x is no number"),
        (["--formats", "JPEG,SVG"], "SVG is no format; choose from JPEG"),
        (["--formats", ""], "nothing is no format"),
        (["--allowed-hosts", ""], "'' names no hosts"),
        (["--allowed-hosts", "localhost:8000"], "'localhost:8000' names no hosts"),
        (["--log", "xml"], "invalid choice: 'xml'"),
    ],
)
def test_option_out_of_range_is_refused(options: list[str], reason: str) -> None:
    with pytest.raises(UserError, match=re.escape(reason)):
        serve.main(options)


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="Linux counts shared pages")
def test_memory_stays_below_what_is_said_at_the_start(tmp_path: Path) -> None:
    write_models(tmp_path / "models")
    # Each takes up to 84 MiB to decode.
    large = encode(Image.new("RGBA", (2000, 2000)), "WEBP", lossless=True, method=0)
    small = ["--max-decoded-megabytes", "88", "--max-buffered-megabytes", "8"]
    with program(tmp_path, "--processes", "2", "--max-megabytes", "2", *small) as (process, url):
        own = psutil.Process(process.pid)
        peak = 0.0
        with ThreadPoolExecutor(4) as pool:
            files = [("image", large)] * 4
            asked = [
                pool.submit(httpx.post, f"{url}/predict", files=files, timeout=60) for _ in range(4)
            ]
            while not all(one.done() for one in asked):
                family = [own, *own.children(recursive=True)]
                peak = max(peak, sum(one.memory_full_info().pss for one in family))
        assert {one.result().status_code for one in asked} == {200}
        limits = Limits(max_decoded=88 << 20, max_buffered=8 << 20, max_body=2 << 20)
        assert peak <= most_memory(limits, 2, True, len(colours_onnx()))


@pytest.mark.parametrize("text", ["", "short", "with spaces in it all along", "ä" * 20])
def test_weak_key_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "key").write_text(text, "latin-1")
    with pytest.raises(UserError, match="write at least 16 letters and digits"):
        read_key(tmp_path / "key")


def test_missing_file_of_the_key_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--api-key-file: .+ name a file that holds the key"):
        read_key(tmp_path / "key")


def test_key_that_others_may_change_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("0123456789abcdef0123")
    (tmp_path / "key").chmod(0o666)
    with pytest.raises(UserError, match="may be changed by others: run `chmod 600"):
        read_key(tmp_path / "key")
