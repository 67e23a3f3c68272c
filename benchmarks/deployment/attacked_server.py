"""A running server, and what an honest client sees of it meanwhile, for `attacks.py`."""

import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attack_files
import httpx
import psutil

HONEST = attack_files.small_images()[0]


class Server:
    """A server under attack, and a client that looks how it does."""

    def __init__(self, models: Path, *options: str) -> None:
        command = [sys.executable, "-m", "classifier", "serve", "--port", "0"]
        self.process = subprocess.Popen(
            [*command, "--models", str(models), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout is not None
        self.said = self.process.stdout.readline()
        found = re.search(r"http://127.0.0.1:(\d+)", self.process.stdout.readline())
        assert found is not None
        self.port = int(found[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.worst: dict[str, float] = {"predict": 0.0, "live": 0.0}
        self.not_ready = 0
        self.peak = 0.0
        self.family = [psutil.Process(self.process.pid)]
        self._over = threading.Event()

    def predict(self, content: bytes, count: int = 1) -> httpx.Response:
        files = [("image", content)] * count
        return httpx.post(f"{self.url}/predict", files=files, timeout=120)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def memory(self) -> float:
        """MiB of all processes."""
        family = [self.family[0], *self.family[0].children(recursive=True)]
        sizes = []
        for one in family:
            try:
                sizes.append(one.memory_full_info().pss)
            except psutil.Error:
                continue
        return sum(sizes) / 2**20

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Ask and measure while inside."""
        threads = [threading.Thread(target=self._ask), threading.Thread(target=self._measure)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    def _ask(self) -> None:
        with httpx.Client(base_url=self.url, timeout=120) as client:
            while not self._over.is_set():
                for name in ("live", "predict"):
                    begun = time.perf_counter()
                    if name == "live":
                        client.get("/health/live").raise_for_status()
                    else:
                        client.post("/predict", files={"image": HONEST})
                    self.worst[name] = max(self.worst[name], time.perf_counter() - begun)
                self.not_ready += client.get("/health/ready").status_code != 200
                self._over.wait(0.02)

    def _measure(self) -> None:
        while not self._over.wait(0.05):
            self.peak = max(self.peak, self.memory())
