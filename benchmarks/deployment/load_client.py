"""A client that loads a server from a process of its own, and tells what that cost it."""

import http.client
import math
import multiprocessing
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_BOUNDARY = "a-boundary-that-no-image-has"
_HEADERS = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}


class Load(NamedTuple):
    """What a client saw. seconds: of each answer, from when it was due to be asked for.

    wall: seconds of the whole. client_cpu: seconds of processor time that the client itself took.
    """

    seconds: np.ndarray
    wall: float
    client_cpu: float
    failed: int

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.seconds) / self.wall

    def milliseconds(self, percentile: float) -> float:
        return float(np.percentile(self.seconds, percentile) * 1e3)


def load(port: int, files: Sequence[bytes], *, count: int, rate: float, connections: int) -> Load:
    """Ask for `count` answers, the files in turn, over this number of connections.

    rate: requests a second at random moments (a Poisson process), whatever the server does;
    infinite for as many as it answers.
    """
    receiver, sender = multiprocessing.get_context("spawn").Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(
        target=_run, args=(sender, port, files, count, rate, connections)
    )
    process.start()
    seconds, wall, client_cpu, failed = receiver.recv()
    process.join()
    return Load(np.array(seconds), wall, client_cpu, failed)


def _run(
    sender,
    port: int,
    files: Sequence[bytes],
    count: int,
    rate: float,
    connections: int,
) -> None:
    bodies = [_form(content) for content in files]
    due = np.zeros(count)
    if math.isfinite(rate):
        due = np.random.default_rng(0).exponential(1 / rate, count).cumsum()
    numbers = iter(range(count))
    seconds: list[float] = []
    failed = 0
    lock = threading.Lock()
    cpu, started = time.process_time(), time.perf_counter()

    def ask() -> None:
        nonlocal failed
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            moment = started + due[number] if math.isfinite(rate) else time.perf_counter()
            time.sleep(max(0.0, moment - time.perf_counter()))
            try:
                connection.request("POST", "/predict", bodies[number % len(bodies)], _HEADERS)
                answer = connection.getresponse()
                answer.read()
                good = answer.status == 200
            except (OSError, http.client.HTTPException):
                connection.close()
                good = False
            with lock:
                seconds.append(time.perf_counter() - moment)
                failed += not good

    threads = [threading.Thread(target=ask) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall = time.perf_counter() - started
    sender.send((seconds, wall, time.process_time() - cpu, failed))


def _form(content: bytes) -> bytes:
    head = 'Content-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'
    return f"--{_BOUNDARY}\r\n{head}".encode() + content + f"\r\n--{_BOUNDARY}--\r\n".encode()
