"""Measure serving against the limit of this machine, and against other servers.

    python benchmarks/deployment/serving.py path/to/project photos.zip --images 300 \\
        --requests 2000 --peers path/to/python

The project must have run up to the export stage. `--peers` is a Python in which litserve, bentoml,
onnxruntime, pillow-heif and pydantic are installed; without it, there is the Flask endpoint alone.
The client runs on the same machine, so its own processor time stands beside each figure. It prints
Markdown tables: the processor time of `classifier predict`; for each server, in turn, answers a
second and latencies at saturation and at half of it, and its memory.

The limit is what all cores would do if an answer cost no more than `predict` and the client.
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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
from load_client import Load, load

from classifier.core.errors import UserError
from classifier.core.processes import run_program, worker_count
from classifier.inference.batch import BATCH_SIZE
from classifier.inference.image_files import find_images, read_images
from classifier.inference.predict import Model, load_model

# Number of clients that keep both servers busy without filling a queue.
CONNECTIONS = 8
PORT = 8017
HERE = Path(__file__).parent


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
    parser.add_argument("--peers", type=Path, metavar="PYTHON", help="see above")
    parser.add_argument("--rounds", type=int, default=2, help="how often all take their turn")
    parser.add_argument("--only", default="", help="servers whose name begins so")
    options = parser.parse_args()
    models = (options.project / "models").resolve()
    found = itertools.islice(read_images(find_images([options.photos])), options.images)
    files = [
        one.content.read_bytes() if isinstance(one.content, Path) else one.content
        for one in found
        if not isinstance(one.content, UserError)
    ]
    print(f"{len(files)} images, {worker_count()} cores, {CONNECTIONS} connections\n")
    how = ["--runtime", options.runtime, *(["--int8"] if options.int8 else [])]
    model = load_model(models, runtime=options.runtime, int8=options.int8, threads=1)
    cost = measure_predict(models, model, files, how)
    for number in range(options.rounds):
        print(f"\nRound {number + 1}\n")
        print("| server | load | answers/s | share of the limit | failed | p50, ms | p95 | p99 |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
        for name, command, extra in servers(models, how, options):
            if not name.startswith(options.only):
                continue
            with program(command, files[0], extra) as process:
                measure_server(name, files, options, process.pid, cost)


def servers(
    models: Path, how: list[str], options: argparse.Namespace
) -> Iterator[tuple[str, list[str], dict[str, str]]]:
    """Name, command and environment of each server, the peers in each configuration."""
    port = ["--port", str(PORT)]
    serve = [sys.executable, "-m", "classifier", "serve", "--models", str(models), *how, *port]
    yield "serve", [*serve, "--max-megapixels", "50"], {}
    if options.peers is not None:
        int8 = ["--int8"] if options.int8 else []
        litserve = [str(options.peers), str(HERE / "litserve_peer.py"), str(models), *int8, *port]
        for batch in ("1", "4"):
            yield f"LitServe, batches of {batch}", [*litserve, "--batch", batch], {}
        where = {"MODELS": str(models), "INT8": str(int(options.int8))}
        for name, batches in (("Peer", 1), ("BatchPeer", 4)):
            bentoml = [str(options.peers.with_name("bentoml")), "serve", f"bentoml_peer:{name}"]
            yield f"BentoML, batches of {batches}", [*bentoml, *port], where
    if not options.int8:
        yield "Flask", [sys.executable, str(HERE / "flask_peer.py"), str(models), *port], {}


def measure_predict(models: Path, model: Model, files: Sequence[bytes], how: list[str]) -> float:
    """Return ms of processor time an image of `classifier predict`, without its start."""
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
    return 1e3 * cpu / (len(files) - 1)


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
    name: str, files: Sequence[bytes], options: argparse.Namespace, pid: int, cost: float
) -> None:
    """Print latencies at saturation and at half of it, and what the server costs."""
    load(PORT, files, count=100, rate=math.inf, connections=CONNECTIONS)
    before, spent = resident_megabytes(pid), processor_seconds(pid)
    full = load(PORT, files, count=options.requests, rate=math.inf, connections=CONNECTIONS)
    spent = processor_seconds(pid) - spent
    after = resident_megabytes(pid)
    count = max(20, int(full.rate / 2 * options.seconds))
    half = load(PORT, files, count=count, rate=full.rate / 2, connections=4 * CONNECTIONS)
    client = 1e3 * full.client_cpu / len(full.seconds)
    limit = worker_count() * 1e3 / (cost + client)
    print(row(name, "saturation", full, limit))
    print(row(name, "half", half, limit), flush=True)
    print(
        f"<!-- {name}: {1e3 * spent / len(full.seconds):.2f} ms of processor time an answer, the "
        f"client {client:.2f}, `predict` {cost:.2f}; {before:.0f} MB, after {len(full.seconds)} "
        f"answers {after:.0f} -->",
        flush=True,
    )


def row(name: str, what: str, seen: Load, limit: float) -> str:
    latencies = " | ".join(f"{seen.milliseconds(part):.1f}" for part in (50, 95, 99))
    rate = f"{seen.rate:.1f} | {seen.rate / limit:.2f}"
    return f"| {name} | {what} | {rate} | {seen.failed} | {latencies} |"


def tree(pid: int) -> list[psutil.Process]:
    """A server and all its processes."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def resident_megabytes(pid: int) -> float:
    """Of all processes, with a share of what they have in common (proportional set size)."""
    return sum(one.memory_full_info().pss for one in tree(pid)) / 2**20


def processor_seconds(pid: int) -> float:
    """Of all processes together."""
    times = [one.cpu_times() for one in tree(pid)]
    return sum(one.user + one.system for one in times)


@contextmanager
def program(
    command: list[str], image: bytes, extra: dict[str, str]
) -> Iterator["subprocess.Popen[bytes]"]:
    """A server from its first answer on, whatever it is, until the end of the block."""
    quiet = subprocess.DEVNULL
    environment = os.environ | extra
    with subprocess.Popen(
        command, stdout=quiet, stderr=quiet, env=environment, cwd=HERE
    ) as process:
        try:
            # It is ready when it predicts: BentoML opens its port before its workers are there.
            while (
                process.poll() is None
                and load(PORT, [image], count=1, rate=math.inf, connections=1).failed
            ):
                time.sleep(0.2)
            yield process
        finally:
            for one in reversed(tree(process.pid)):
                one.terminate()


if __name__ == "__main__":
    run_program(main)
