import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from builders.clones import ROOT
from builders.tasks import Order, refuse, square, threads_and_process

from classifier.core.errors import UserError
from classifier.core.executors import ATTEMPTS, open_executor

# A program that was started in the background ignores SIGINT, and so do those that it starts.
STOPS = """
import signal
import sys
from pathlib import Path
from builders.tasks import wait_for_ever
from classifier.core.executors import open_executor

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    files = [Path(sys.argv[1], str(number)) for number in range(2)]
    with open_executor(2, workers=2) as executor:
        list(executor.map(wait_for_ever, files))
"""


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_come_in_the_order_of_the_arguments(tmp_path: Path, workers: int) -> None:
    orders = [Order(number, tmp_path) for number in range(30)]
    with open_executor(len(orders), workers=workers) as executor:
        assert executor.workers == workers
        assert list(executor.map(square, orders)) == [order.number**2 for order in orders]


def test_one_task_needs_no_other_process() -> None:
    with open_executor(1, workers=8) as executor:
        assert [process for _, process in executor.map(threads_and_process, [0])] == [os.getpid()]


def test_each_process_computes_in_one_thread() -> None:
    with open_executor(8, workers=2) as executor:
        found = list(executor.map(threads_and_process, range(8)))
    assert os.getpid() not in {process for _, process in found}
    assert {threads for threads, _ in found} == {1}


def test_task_whose_process_dies_is_tried_again(tmp_path: Path) -> None:
    orders = [Order(number, tmp_path, deaths=number == 3) for number in range(12)]
    with open_executor(len(orders), workers=2) as executor:
        assert list(executor.map(square, orders)) == [order.number**2 for order in orders]
        assert list(executor.map(square, orders)) == [order.number**2 for order in orders]


def test_task_that_ends_each_process_is_named(tmp_path: Path) -> None:
    orders = [Order(number, tmp_path, deaths=99 * (number == 1)) for number in range(4)]
    said = rf"decode 1: the process that did it ended .* {ATTEMPTS} times"
    with pytest.raises(UserError, match=said), open_executor(4, workers=2) as executor:
        list(executor.map(square, orders, lambda order: f"decode {order.number}"))


def test_what_a_task_raises_reaches_the_caller() -> None:
    with open_executor(4, workers=2) as executor:
        results = executor.map(refuse, range(4))
        assert [next(results), next(results)] == [0, 1]
        with pytest.raises(UserError, match="image 2 cannot be read"):
            next(results)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_the_one_that_started_it(
    tmp_path: Path, number: signal.Signals
) -> None:
    program = tmp_path / "program.py"
    program.write_text(STOPS, "utf-8")
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "tests")))
    started = subprocess.Popen(
        [sys.executable, program, tmp_path],
        env=os.environ | {"PYTHONPATH": paths},
        stderr=subprocess.DEVNULL,
    )
    files = [tmp_path / "0", tmp_path / "1"]
    until = time.monotonic() + 60
    while not all(file.exists() for file in files):
        assert time.monotonic() < until
        time.sleep(0.05)
    workers = [psutil.Process(int(file.read_text("utf-8"))) for file in files]
    started.send_signal(number)
    started.wait(60)
    assert psutil.wait_procs(workers, timeout=60)[1] == []
