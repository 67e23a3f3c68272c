"""Attack a running server with real bytes, and measure what it costs all others.

    python benchmarks/deployment/attacks.py path/to/models [--requests 10000] [--only memory]

Starts `classifier serve` with its defaults for each attack and prints a Markdown table. Meanwhile a
client asks for a prediction of a small image and for `/health/live`, again and again: the table
shows the longest time that each took, how often the server was not ready, and its peak of
memory. It must run on Linux, on a machine that does nothing else.
"""

import argparse
import random
import re
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attack_files
import httpx
from attacked_server import HONEST, Server

HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
CRLF = b"\r\n"


def slow_images(server: Server) -> str:
    """Each of the images twice at once; what it is answered, and after how long."""
    images = {
        "JPEG of 20,000 scans": attack_files.scans(5000, 20_000),
        "PPM": attack_files.text_ppm(3000),
        "BMP of runs": attack_files.run_length_bmp(3900),
        "PNG of 2 million chunks": attack_files.many_chunks(2_000_000),
    }
    said = []
    for name, content in images.items():
        begun = time.perf_counter()
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(server.predict, [content] * 2))
        seconds = time.perf_counter() - begun
        said.append(f"{name} {answers[0].status_code} after {seconds:.2f} s")
    return "; ".join(said)


def memory(server: Server) -> str:
    """Large promises, several in each of several requests."""
    side = 5000
    images = [
        attack_files.promise(mode, side, kind)
        for mode, kind in (("RGBA", "WEBP"), ("LA", "PNG"), ("RGBA", "PNG"), ("RGB", "WEBP"))
    ]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda content: server.predict(content, 8), images))
    said = re.search(r"at most ([\d,]+) MiB", server.said)
    return f"statuses {[one.status_code for one in answers]}, said {said and said[1]} MiB"


def stalled_uploads(server: Server) -> str:
    """Connections that declare 32 MiB and send one byte."""
    stalled = [server.connect() for _ in range(64)]
    for one in stalled:
        one.sendall(HEAD + b"Content-Length: 33554432\r\n\r\nx")
    time.sleep(3)
    begun = time.perf_counter()
    answer = stalled[0].recv(1000)
    seconds = 3 + time.perf_counter() - begun
    return f"predictions go on; ended with {answer[9:12].decode()} after {seconds:.0f} s"


def crumbs(server: Server) -> str:
    """A body in three million chunks of a byte."""
    with server.connect() as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        return f"ended after {_sent(connection, b'1' + CRLF + b'x' + CRLF, 3_000_000):,} bytes"


def after_refusal(server: Server) -> str:
    """A body of 10 GB that is refused by its header."""
    with server.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 10000000000\r\n\r\n")
        return f"{_sent(connection, bytes(1 << 20), 10_000) / 1e6:,.0f} MB were taken after the 413"


def _sent(connection: socket.socket, part: bytes, count: int) -> int:
    sent, many = 0, max(1, 65_536 // len(part))
    try:
        while sent < count * len(part):
            sent += connection.send(part * many)
    except OSError:
        pass
    return sent


def never_reads(server: Server) -> str:
    """Clients that ask and read nothing."""
    asked = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 4
    clients = [server.connect() for _ in range(50)]
    for client in clients:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(0.2)
    begun, open_ones = time.monotonic(), set(clients)
    while open_ones and time.monotonic() - begun < 60:
        for client in list(open_ones):
            try:
                client.send(asked)
            except TimeoutError:
                continue
            except OSError:
                open_ones.discard(client)
    return f"{len(open_ones)} of 50 are open after {time.monotonic() - begun:.0f} s"


def idle(server: Server) -> str:
    """A thousand connections that say nothing."""
    connections = [server.connect() for _ in range(1000)]
    time.sleep(3)
    statuses = Counter(httpx.get(f"{server.url}/health/live").status_code for _ in range(20))
    for one in connections:
        one.close()
    return f"live beside them: {dict(statuses)}"


def generated(server: Server, requests: int = 10_000) -> str:
    """Requests with a form, images, and parameters that chance has damaged."""
    statuses: Counter[int] = Counter()
    lock = threading.Lock()
    images = attack_files.small_images()

    def send(seed: int) -> None:
        source = random.Random(seed)
        with httpx.Client(base_url=server.url, timeout=60) as client:
            for _ in range(requests // 8):
                status = _send_one(client, source, images)
                with lock:
                    statuses[status] += 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(send, range(8)))
    wrong = sum(count for status, count in statuses.items() if status >= 500 and status != 503)
    return (
        f"{wrong} of {sum(statuses.values()):,} are 5xx but 503: {dict(sorted(statuses.items()))}"
    )


def _send_one(client: httpx.Client, source: random.Random, images: list[bytes]) -> int:
    name = source.choice([b"image", b"im\xffage", b"", b"image\0"])
    file = source.choice(
        [b"a.png", "é\udcff".encode("utf-8", "surrogatepass"), b"\xff\xfe", b"x" * 3000]
    )
    disposition = b'Content-Disposition: form-data; name="%s"; filename="%s"' % (name, file)
    content = attack_files.mutated(source.choice(images), source)
    body = b"--x\r\n" + disposition + b"\r\n\r\n" + content + b"\r\n--x--\r\n"
    if source.random() < 0.5:
        place = source.randrange(min(len(body), 200))
        body = body[:place] + bytes([source.randrange(256)]) + body[place + 1 :]
    charset = source.choice(["utf-8", "punycode", "utf-16", "rot13", "\\x"])
    kind = source.choice(["multipart/form-data; boundary=x", "image/png", "multipart/form-data"])
    path = source.choice(["/predict", "/heatmap", "/predict", "/docs", "/%ff", "//"])
    values = ["1", "-1", "NaN", "9" * 5000, "\u0661", "1e3", "%00", ""]
    query = {source.choice(["top_k", "index", "x"]): source.choice(values)}
    headers = {"content-type": f"{kind}; charset={charset}", "x-request-id": source.choice(values)}
    method = source.choice(["POST"] * 30 + ["GET", "PUT", "HEAD", "OPTIONS", "TRACE"])
    try:
        sent = client.request(method, path, content=body, params=query, headers=headers)
    except (httpx.HTTPError, UnicodeEncodeError):
        return 0
    return sent.status_code


def stopping(server: Server) -> str:
    """SIGTERM under 200 clients that keep their connections, beside a stalled upload."""
    stalled = server.connect()
    stalled.sendall(HEAD + b"Content-Length: 100\r\n\r\nx")
    outcomes: Counter[str] = Counter()
    stopped = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=server.url, timeout=30) as client:
            while True:
                try:
                    answer = client.post("/predict", files={"image": HONEST})
                except httpx.ConnectError:
                    outcomes["refused"] += stopped.is_set()
                    return
                except httpx.HTTPError as error:
                    when = "lost" if stopped.is_set() else "lost before"
                    outcomes[f"{when}: {type(error).__name__}"] += 1
                    return
                outcomes[str(answer.status_code)] += 1
                if answer.headers.get("connection") == "close":
                    outcomes["told to go"] += 1
                    return

    threads = [threading.Thread(target=ask) for _ in range(200)]
    for thread in threads:
        thread.start()
    time.sleep(3)
    stopped.set()
    begun = time.perf_counter()
    server.process.send_signal(signal.SIGTERM)
    server.process.wait()
    seconds = time.perf_counter() - begun
    for thread in threads:
        thread.join()
    return f"over after {seconds:.1f} s; {dict(outcomes)}"


WATCHED = (
    slow_images, memory, stalled_uploads, crumbs, after_refusal, never_reads, idle, generated
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path)
    parser.add_argument("--requests", type=int, default=10_000, help="of `generated`")
    parser.add_argument("--only", default="", help="attacks whose name begins so")
    options = parser.parse_args()
    print("| attack | what came of it | predict, s | live, s | not ready | peak, MiB |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    for attack in (*WATCHED, stopping):
        if attack.__name__.startswith(options.only):
            run(attack, options)


def run(attack: Callable[..., str], options: argparse.Namespace) -> None:
    server = Server(options.models)
    try:
        if attack is stopping:
            print(f"| {attack.__name__} | {attack(server)} | | | | |", flush=True)
            return
        extra = {"requests": options.requests} if attack is generated else {}
        with server.watched():
            said = attack(server, **extra)
        worst = server.worst
        print(
            f"| {attack.__name__} | {said} | {worst['predict']:.2f} | {worst['live']:.2f} | "
            f"{server.not_ready} | {server.peak:.0f} |",
            flush=True,
        )
    finally:
        server.process.kill()
        server.process.wait()


if __name__ == "__main__":
    main()
