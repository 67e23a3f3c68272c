"""A real web server on this machine, which fails in the ways that the web does."""

import http.server
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial


@dataclass
class Server:
    """What the test server does, and what it was asked for.

    sends: how many bytes it sends at a request before it cuts the connection, one a request;
    after the last of them it sends all. answers: a status instead of content, likewise.
    location: where redirects lead; empty for the same address.
    has_length: whether it says how many bytes it sends.
    asked, logins: the headers Range and Authorization of each request.
    before: called at each request, first of all.
    """

    content: bytes
    address: str = ""
    ranges: bool = True
    etag: str = '"one"'
    sends: list[int] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    asked: list[str | None] = field(default_factory=list)
    logins: list[str | None] = field(default_factory=list)
    location: str = ""
    has_length: bool = True
    before: Callable[[], object] = lambda: None


class Handler(http.server.BaseHTTPRequestHandler):
    def __init__(self, server: Server, *rest: object) -> None:
        self.behaviour = server
        super().__init__(*rest)  # pyright: ignore[reportArgumentType]

    def do_GET(self) -> None:
        behaviour = self.behaviour
        behaviour.before()
        behaviour.asked.append(self.headers.get("Range"))
        behaviour.logins.append(self.headers.get("Authorization"))
        if behaviour.answers:
            self.send_response(behaviour.answers.pop(0))
            self.send_header("Location", behaviour.location or self.path)
            self.end_headers()
            return
        start = self._start()
        if start > len(behaviour.content):
            self.send_response(416)
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            size = len(behaviour.content)
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        if behaviour.has_length:
            self.send_header("Content-Length", str(len(behaviour.content) - start))
        self.send_header("ETag", behaviour.etag)
        self.end_headers()
        length = behaviour.sends.pop(0) if behaviour.sends else len(behaviour.content)
        self.wfile.write(behaviour.content[start : start + length])

    def _start(self) -> int:
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        same = self.headers.get("If-Range", self.behaviour.etag) == self.behaviour.etag
        return int(asked[1]) if asked and same and self.behaviour.ranges else 0

    def log_message(self, format: str, *args: object) -> None: ...


@contextmanager
def serving(behaviour: Server, path: str = "data%20set.zip?version=1") -> Iterator[None]:
    """Run the server, under any path, and write the address of `path` into `behaviour`."""
    handler = partial(Handler, behaviour)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as listener:
        behaviour.address = f"http://127.0.0.1:{listener.server_port}/{path}"
        threading.Thread(target=listener.serve_forever, args=(0.01,), daemon=True).start()
        yield
        listener.shutdown()
