"""Collect what decoders complain about, for each image; nothing of it reaches the console.

Pillow uses Python's warnings, which are of the whole process, and libtiff writes to the standard
error itself. Here both go to the list of the thread that decodes. (`warnings.catch_warnings` is
not for threads before Python 3.14.)
"""

import ctypes
import logging
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from PIL import Image

_MODULES = r"(PIL|pillow_heif)\."
# What C's printf fills in, such as %d or %lu.
_DIRECTIVE = re.compile(r"%[-+ #0-9.*]*[hlLzjtI0-9]*[a-zA-Z]")

_thread = threading.local()
_installing = threading.Lock()


@contextmanager
def collect_warnings() -> Iterator[list[str]]:
    """Yield the list to which the complaints of this thread's decoders are added while inside."""
    _install()
    outer = getattr(_thread, "messages", None)
    messages: list[str] = []
    _thread.messages = messages
    try:
        yield messages
    finally:
        _thread.messages = outer


def note(message: str) -> bool:
    """Add a complaint to this thread's list, if it has one; return whether it has.

    Line breaks become spaces; a complaint is added once.
    """
    messages: list[str] | None = getattr(_thread, "messages", None)
    if messages is None:
        return False
    line = " ".join(message.split())
    if line not in messages:
        messages.append(line)
    return True


def _install() -> None:
    """Put the hooks into place, also where a test or a notebook has taken them away."""
    with _installing:
        if not isinstance(warnings.showwarning, _Hook):
            warnings.showwarning = _Hook(warnings.showwarning)
        # By default Python passes on each warning once, so the second image would seem faultless.
        if not any(_is_ours(entry) for entry in warnings.filters):
            warnings.filterwarnings("always", module=_MODULES)
        logging.getLogger("PIL.TiffImagePlugin").addFilter(_log_filter)


def _is_ours(entry: Any) -> bool:
    action, _, _, module, _ = entry
    return action == "always" and module is not None and module.pattern == _MODULES


class _Hook:
    """A `warnings.showwarning` that keeps the decoders' warnings and passes on all others."""

    def __init__(self, previous: Any) -> None:
        self._previous = previous

    def __call__(self, message: Any, category: Any, *place: Any, **named: Any) -> None:
        # The number of pixels is compared with the limit of split.max_pixels instead.
        bomb = issubclass(category, Image.DecompressionBombWarning)
        collecting = getattr(_thread, "messages", None) is not None
        if not (bomb and collecting) and not note(str(message)):
            self._previous(message, category, *place, **named)


def _log_filter(record: logging.LogRecord) -> bool:
    """Return whether Python's logging shall see a record of Pillow."""
    return record.levelno < logging.WARNING or not note(record.getMessage())


@cache
def collect_libtiff_errors() -> None:
    """Let libtiff's messages go to `note`, where they were written to the standard error.

    Reaches into the libtiff that Pillow 13.0 is linked with; without it, nothing changes.
    """
    try:
        library = ctypes.CDLL(Image.core.__file__)
        library.TIFFSetErrorHandler.argtypes = [ctypes.c_void_p]
        library.TIFFSetErrorHandler(ctypes.cast(_libtiff_handler, ctypes.c_void_p))
    except (AttributeError, OSError):  # a Pillow that is built in another way
        return


@ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)
def _libtiff_handler(module: bytes | None, form: bytes | None, _values: int | None) -> None:
    # The values are a C va_list, which Python cannot read.
    place = (module or b"").decode("ascii", "replace")
    text = _DIRECTIVE.sub("…", (form or b"").decode("ascii", "replace"))
    note(f"libtiff: {place}: {text}")
