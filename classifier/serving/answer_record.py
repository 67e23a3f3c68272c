"""Answers as JSON lines in a file, for `classifier drift`; no image and no file name."""

import json
import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from classifier.core.errors import UserError, describe_os_error
from classifier.serving.workers.image_worker import Outcome

_log = logging.getLogger(__name__)


class AnswerRecord:
    """A file to which answers are appended; it is opened for each request, so it may be moved."""

    def __init__(self, path: Path) -> None:
        """Check that the file is a record or new, and can be written; raise UserError if not."""
        self._path = path
        self._works = True
        try:
            if path.is_file() and _start(path) not in (b"", b"{"):
                raise UserError(
                    f"--record: {path} holds something else than answers: name another file."
                )
            self._append("")
        except OSError as error:
            raise UserError(
                f"--record: {describe_os_error(error)}: name a file in a folder that is there and "
                "that this user may write to."
            ) from None

    def write(self, outcomes: Iterable[Outcome], version: str) -> None:
        """Append a line for each image that was answered.

        Where the disk is full or the folder is gone, the log says so once, and the server goes on;
        answers of a request are recorded all or none.
        """
        about = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "model": version}
        lines = [
            json.dumps(about | _recorded(outcome) | (outcome.measures or {})) + "\n"
            for outcome in outcomes
            if outcome.content is not None
        ]
        try:
            self._append("".join(lines))
            self._works = True
        except OSError as error:
            if self._works:
                _log.error("answers are not recorded: %s", error)
            self._works = False

    def _append(self, text: str) -> None:
        with open(self._path, "ab", buffering=0, opener=_without_waiting) as file:
            size, rest = os.fstat(file.fileno()).st_size, memoryview(text.encode())
            try:
                while rest:
                    rest = rest[os.write(file.fileno(), rest) :]
            except OSError:
                # A part of a line would spoil the next one. A pipe takes nothing back.
                with suppress(OSError):
                    file.truncate(size)
                raise


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(1)


def _without_waiting(path: str, flags: int) -> int:
    """Open a pipe that nobody reads with an error, instead of waiting for a reader."""
    return os.open(path, flags | os.O_NONBLOCK, 0o666)


def _recorded(outcome: Outcome) -> dict[str, object]:
    """Return the answer without its longest part, words about the file and training images."""
    left_out = ("probabilities", "similar", "warnings")
    return {key: value for key, value in (outcome.content or {}).items() if key not in left_out}
