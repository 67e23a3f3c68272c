"""Functions that tests run in other processes, which find them by their names."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from threadpoolctl import threadpool_info

from classifier.core.errors import UserError


class Order(NamedTuple):
    """A task that ends its process until `folder` holds `deaths` files of its name."""

    number: int
    folder: Path
    deaths: int = 0


def square(order: Order) -> int:
    """Return the square of a number; end the process first, as the system does without memory."""
    with _counted(order) as before:
        if before < order.deaths:
            os.kill(os.getpid(), signal.SIGKILL)
    return order.number**2


def refuse(number: int) -> int:
    """Raise UserError for 2."""
    if number == 2:
        raise UserError("image 2 cannot be read: remove it.")
    return number


def threads_and_process(_: int) -> tuple[int, int]:
    """Return the number of threads of NumPy's matrix products, and the id of the process."""
    import numpy as np  # noqa: F401, PLC0415 - so that its library is loaded

    return max((pool["num_threads"] for pool in threadpool_info()), default=1), os.getpid()


def wait_for_ever(path: Path) -> None:
    """Write the id of this process to a file, and never return."""
    path.with_suffix(".part").write_text(str(os.getpid()), "utf-8")
    path.with_suffix(".part").rename(path)
    while True:
        time.sleep(60)


@contextmanager
def _counted(order: Order) -> Iterator[int]:
    before = len(list(order.folder.glob(f"{order.number}-*")))
    (order.folder / f"{order.number}-{before}").touch()
    yield before
