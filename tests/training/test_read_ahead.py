import time
from threading import Event

import numpy as np
import pytest

from classifier.training.batches import (
    read_ahead,
)

ORDERS = [np.arange(start, start + 3) for start in range(0, 30, 3)]


@pytest.mark.parametrize("count", [0, 1, 3, 4, 10])
def test_reading_ahead_gives_the_same_in_the_same_order(count: int) -> None:
    read = [part.tolist() for part in read_ahead(lambda rows: rows**2, ORDERS[:count])]
    assert read == [(rows**2).tolist() for rows in ORDERS[:count]]


def test_reading_ahead_raises_what_reading_raises_in_its_place() -> None:
    def read(rows: np.ndarray) -> np.ndarray:
        if rows[0] == 15:
            raise OSError("the disk is gone")
        return rows

    given_out: list[int] = []
    with pytest.raises(OSError, match="the disk is gone"):
        given_out.extend(part[0] for part in read_ahead(read, ORDERS))
    assert given_out == [0, 3, 6, 9, 12]


def test_reading_goes_on_in_the_meantime_but_only_a_few_ahead() -> None:
    started: list[int] = []
    second_was_read = Event()

    def read(rows: np.ndarray) -> np.ndarray:
        started.append(rows[0])
        if len(started) == 2:
            second_was_read.set()
        return rows

    for taken, _ in enumerate(read_ahead(read, ORDERS), 1):
        assert second_was_read.wait(60)
        # Time in which a reader without a limit would be through with all of them.
        time.sleep(0.01)
        assert len(started) <= taken + 3
