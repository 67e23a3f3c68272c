"""Measure serving against predicting the same files, and against a plain endpoint.

    python benchmarks/serving.py path/to/project photos.zip --images 300 --requests 10000

The project must have run up to the export stage. The client runs on the same machine, so its own
processor time stands beside each figure. It prints Markdown tables: the processor time of
`classifier predict` against decoding and inference timed alone; images a second and latencies of
`classifier serve` and of the Flask endpoint in `flask_peer.py` at saturation and at half of it;
memory of `classifier serve` over many requests.
"""

import argparse
import itertools
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from load_client import Load, load

from classifier.core.errors import UserError
from classifier.core.processes import run_program, worker_count
from classifier.inference.batch import BATCH_SIZE
from classifier.inference.image_files import find_images, read_images
from classifier.inference.predict import Model, load_model

FLASK_PORT, SERVE_PORT = 5017, 8017
# Number of clients that keep both servers busy without filling a queue.
CONNECTIONS = 8


class Cost(NamedTuple):
    wall: float
    cpu: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", type=Path)
    parser.add_argument("photos", help="a folder or an archive")
    parser.add_argument("--images", type=int, default=300, help="how many of them to use")
    parser.add_argument("--requests", type=int, default=1000, help="at saturation")
    parser.add_argument("--seconds", type=float, default=20.0, help="of the load at half of it")
    parser.add_argument("--int8", action="store_true", help="serve and predict in eight bits")
    parser.add_argument("--runtime", choices=("onnx", "openvino"), default="onnx")
    options = parser.parse_args()
    models = options.project / "models"
    found = itertools.islice(read_images(find_images([options.photos])), options.images)
    files = [
        one.content.read_bytes() if isinstance(one.content, Path) else one.content
        for one in found
        if not isinstance(one.content, UserError)
    ]
    print(f"{len(files)} images, {worker_count()} threads, {CONNECTIONS} connections\n")
    how = ["--runtime", options.runtime, *(["--int8"] if options.int8 else [])]
    model = load_model(models, runtime=options.runtime, int8=options.int8, threads=1)
    predicted = measure_predict(models, model, files, how)
    serve = [sys.executable, "-m", "classifier", "serve", "--models", str(models), *how]
    with program([*serve, "--port", str(SERVE_PORT)], SERVE_PORT) as process:
        served = measure_server("serve", SERVE_PORT, files, options, process.pid)
    flask = [sys.executable, str(Path(__file__).with_name("flask_peer.py")), str(models)]
    with program([*flask, "--port", str(FLASK_PORT)], FLASK_PORT) as process:
        peer = measure_server("Flask", FLASK_PORT, files, options, process.pid)
    print(f"\nserve / predict: {served / predicted:.2f}; serve / Flask: {served / peer:.2f}")


def measure_predict(models: Path, model: Model, files: Sequence[bytes], how: list[str]) -> float:
    """Return images a second of `classifier predict` without its start; print what they cost."""
    decoding, inference = costs_alone(model, files)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{number:05d}.jpg") for number in range(len(files))]
        for path, content in zip(paths, files, strict=True):
            path.write_bytes(content)
        start = run_predict(models, *how, str(paths[0]))
        whole = run_predict(models, *how, folder)
    wall, cpu = whole.wall - start.wall, whole.cpu - start.cpu
    rate = (len(files) - 1) / wall
    alone = (decoding + inference) * (len(files) - 1) / len(files)
    print("| | images/s | processor ms an image | start, s |\n| --- | --- | --- | --- |")
    print(f"| decoding alone | | {1e3 * decoding / len(files):.2f} | |")
    print(f"| inference alone | | {1e3 * inference / len(files):.2f} | |")
    print(f"| predict | {rate:.1f} | {1e3 * cpu / (len(files) - 1):.2f} | {start.wall:.2f} |")
    print(
        f"\n`classifier predict` takes {cpu / alone:.3f} times the processor time of both alone\n"
    )
    return rate


def costs_alone(model: Model, files: Sequence[bytes]) -> tuple[float, float]:
    """Seconds of processor time of decoding all files, and of the model on them in batches."""
    begun = time.process_time()
    images = np.stack([model.decode(content) for content in files])
    decoding = time.process_time() - begun
    begun = time.process_time()
    for first in range(0, len(images), BATCH_SIZE):
        model.answers(images[first : first + BATCH_SIZE])
    return decoding, time.process_time() - begun


def run_predict(models: Path, *arguments: str) -> Cost:
    command = [
        sys.executable,
        "-m",
        "classifier",
        "predict",
        "--csv",
        "--models",
        str(models),
    ]
    before, started = children_cpu(), time.perf_counter()
    subprocess.run([*command, *arguments], stdout=subprocess.DEVNULL, check=True)
    return Cost(time.perf_counter() - started, children_cpu() - before)


def children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measure_server(
    name: str, port: int, files: Sequence[bytes], options: argparse.Namespace, pid: int
) -> float:
    """Print latencies at saturation and at half of it; returns images a second at saturation."""
    load(port, files, count=50, rate=math.inf, connections=CONNECTIONS)
    before = resident_megabytes(pid)
    spent = processor_seconds(pid)
    full = load(port, files, count=options.requests, rate=math.inf, connections=CONNECTIONS)
    spent = processor_seconds(pid) - spent
    after = resident_megabytes(pid)
    count = max(20, int(full.rate / 2 * options.seconds))
    half = load(port, files, count=count, rate=full.rate / 2, connections=2 * CONNECTIONS)
    print(f"{name}: {before:.0f} MB, after {options.requests} requests {after:.0f} MB; ", end="")
    print(f"{1e3 * spent / options.requests:.2f} ms of its processor time an answer\n")
    print("| load | answers/s | failed | p50, ms | p95 | p99 | client's processor ms an answer |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    print(row("saturation", full))
    print(f"{row('half', half)}\n")
    return full.rate


def row(name: str, seen: Load) -> str:
    latencies = " | ".join(f"{seen.milliseconds(part):.1f}" for part in (50, 95, 99))
    client = 1e3 * seen.client_cpu / len(seen.seconds)
    return f"| {name} | {seen.rate:.1f} | {seen.failed} | {latencies} | {client:.2f} |"


def resident_megabytes(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def processor_seconds(pid: int) -> float:
    """Of a process, all its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def program(command: list[str], port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """A server from its first answer on, whatever it is, until the end of the block."""
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet) as process:
        try:
            while process.poll() is None:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
                    break
                except urllib.error.HTTPError:
                    break
                except OSError:
                    time.sleep(0.1)
            yield process
        finally:
            process.terminate()


if __name__ == "__main__":
    run_program(main)
