import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
from builders.colours import image_of, write_models
from builders.images import encode

from classifier.core.errors import UserError
from classifier.serving.server import read_key

REPOSITORY = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "classifier", "serve", "--port", "0"]
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
    slow = encode(np.zeros((4000, 5000, 3), np.uint8), compress_level=1)
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
        assert process.wait(30) in (0, -signal.SIGTERM)
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
    assert statuses == [200]


def test_key_comes_from_a_file(tmp_path: Path) -> None:
    write_models(tmp_path / "models")
    (tmp_path / "key").write_text("0123456789abcdef0123\n")
    with program(tmp_path, "--api-key-file", "key") as (_, url):
        files = {"image": image_of("red")}
        assert httpx.post(f"{url}/predict", files=files).status_code == 401
        headers = {"Authorization": "Bearer 0123456789abcdef0123"}
        assert httpx.post(f"{url}/predict", files=files, headers=headers).status_code == 200


@pytest.mark.parametrize("text", ["", "short", "with spaces in it all along", "ä" * 20])
def test_weak_key_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "key").write_text(text, "utf-8")
    with pytest.raises(UserError, match="write at least 16 letters and digits"):
        read_key(tmp_path / "key")
