import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import pytest
from builders.clones import ROOT
from builders.tasks import Order, refuse, square

from classifier.core import dask_workers
from classifier.core.dask_workers import SharedFile, check_release
from classifier.core.errors import UserError
from classifier.core.executors import SCHEDULER_VARIABLE, open_executor

pytest.importorskip("distributed")
pytestmark = pytest.mark.xdist_group("dask")


class Cluster(NamedTuple):
    address: str
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]]


@contextmanager
def cluster(folder: Path, workers: int) -> Iterator[Cluster]:
    """A scheduler and workers, each a process of its own, as docs/scale.md starts them."""
    described = folder / "scheduler.json"
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "tests")))
    variables = os.environ | {"PYTHONPATH": paths, "DASK_DISTRIBUTED__WORKER__DAEMON": "False"}

    def start(program: str, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{program}", "--no-dashboard"]
        return subprocess.Popen(
            [*command, "--scheduler-file", described, *options],
            cwd=folder,
            env=variables,
            stdout=subprocess.DEVNULL,
            stderr=(folder / f"{program}.log").open("ab"),
        )

    scheduler = start("scheduler", "--host", "127.0.0.1", "--port", "0")
    started = [start("worker", "--no-nanny", "--nthreads", "1") for _ in range(workers)]
    try:
        yield Cluster(address_in(described, scheduler), scheduler, started)
    finally:
        for process in (*started, scheduler):
            process.kill()
            process.wait()


def address_in(path: Path, scheduler: subprocess.Popen[bytes]) -> str:
    """The address that a scheduler writes when it is there."""
    while True:
        assert scheduler.poll() is None
        try:
            return json.loads(path.read_bytes())["address"]
        except (FileNotFoundError, json.JSONDecodeError):
            time.sleep(0.05)


@pytest.fixture(scope="module")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("dask"), 2) as started:
        yield started


@pytest.fixture
def used(shared_cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setenv(SCHEDULER_VARIABLE, shared_cluster.address)
    return shared_cluster


def test_results_of_a_cluster_come_in_the_order_of_the_arguments(
    tmp_path: Path, used: Cluster
) -> None:
    orders = [Order(number, tmp_path) for number in range(30)]
    with open_executor(len(orders), shared=[tmp_path]) as executor:
        assert list(executor.map(square, orders)) == [order.number**2 for order in orders]
    assert not list(tmp_path.glob(".shared-*"))


def test_what_a_task_raises_on_a_worker_reaches_the_caller(used: Cluster) -> None:
    with open_executor(4) as executor, pytest.raises(UserError, match="image 2 cannot be read"):
        list(executor.map(refuse, range(4)))


def test_worker_with_another_release_is_refused(
    used: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_workers, "installed_versions", lambda *_: {"numpy": "0.1"})
    said = r"the Dask worker on .* has numpy .*, and 0\.1 is needed: install requirements.lock"
    monkeypatch.setattr(dask_workers, "LIBRARIES", ("numpy",))
    with open_executor(2) as executor, pytest.raises(UserError, match=said):
        list(executor.map(refuse, [0, 1]))


def test_worker_with_other_code_is_refused(used: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_workers, "code_digest", lambda *_: "another")
    said = "has another version of this project: check out the same commit there"
    with open_executor(2) as executor, pytest.raises(UserError, match=said):
        list(executor.map(refuse, [0, 1]))


def test_file_that_a_machine_sees_otherwise_is_named(tmp_path: Path) -> None:
    file = SharedFile(str(tmp_path / "images-0.zip"), 1, 1)
    release = dask_workers._this_release("builtins", (file,))
    with pytest.raises(UserError, match=r"does not see .*images-0\.zip as this machine does"):
        check_release(release)
    (tmp_path / "images-0.zip").write_bytes(b"a")
    os.utime(file.path, ns=(1, 1))
    check_release(release)


def test_task_of_a_killed_worker_goes_to_another_and_a_lost_scheduler_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cluster(tmp_path, 2) as started:
        monkeypatch.setenv(SCHEDULER_VARIABLE, started.address)
        orders = [Order(number, tmp_path, deaths=number == 3) for number in range(12)]
        with open_executor(len(orders)) as executor:
            assert list(executor.map(square, orders)) == [order.number**2 for order in orders]
            assert sorted(worker.poll() is None for worker in started.workers) == [False, True]
            results = executor.map(square, orders)
            next(results)
            started.scheduler.kill()
            with pytest.raises(UserError, match=r"scheduler at tcp.* is gone .* the same command"):
                list(chain(results, executor.map(square, orders)))


def test_scheduler_that_does_not_answer_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SCHEDULER_VARIABLE, "tcp://127.0.0.1:9")
    monkeypatch.setattr(dask_workers, "PATIENCE", 0.5)
    said = r"no Dask scheduler answers at tcp://127\.0\.0\.1:9 .*unset it"
    with pytest.raises(UserError, match=said), open_executor(2):
        pass


def test_scheduler_without_workers_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_workers, "PATIENCE", 2)
    with cluster(tmp_path, 0) as started:
        monkeypatch.setenv(SCHEDULER_VARIABLE, started.address)
        with pytest.raises(UserError, match="has no workers: start some"), open_executor(2):
            pass


def test_missing_package_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.setenv(SCHEDULER_VARIABLE, "tcp://127.0.0.1:9")
    said = "needs one more package: `pip install distributed`"
    with pytest.raises(UserError, match=said), open_executor(2):
        pass
