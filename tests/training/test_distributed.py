"""Two processes on one processor train as one does."""

import os
import signal
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import torch
from builders.backbones import backbone_spec
from builders.processes import wait_for_end
from builders.tiny import ROOT, tiny_params, tiny_section, write_project
from builders.train_process import start_train, wait_for_new_state
from safetensors.numpy import load_file
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

import stages.train
from classifier.models.network import build_classifier
from classifier.training.distributed import ProcessGroup, convert_sync_batch_norm, num_processes
from classifier.training.state import TrainState


def write_plain(folder: Path, processes: int, **changes: Any) -> None:
    """Write a project that trains with plain gradient descent in `processes` processes.

    Differences in rounding then stay differences in rounding. A state is saved after every step.
    """
    optimizer = {"name": "sgd", "lr": 0.02, "momentum": 0.5}
    section = tiny_section(**({"optimizer": optimizer, "epochs": 4} | changes))
    write_project(folder, section, {"num_processes": processes, "checkpoint_minutes": 1e-9})


def train(folder: Path) -> str:
    """Run the stage there as a program and return what it printed."""
    process = start_train(folder)
    said, error = process.communicate()
    assert (process.returncode, error) == (0, "")
    return said


def assert_about_equal(first: Path, second: Path) -> None:
    """The weights and the history, but for rounding."""
    theirs, ours = (load_file(folder / "models/model.safetensors") for folder in (first, second))
    for name, tensor in theirs.items():
        assert ours[name] == pytest.approx(tensor, abs=2e-4), name
    one, two = (pd.read_csv(folder / "results/train/history.csv") for folder in (first, second))
    pd.testing.assert_frame_equal(one, two, atol=2e-4)


def train_alone(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Train in this process."""
    write_plain(folder, 1)
    patch.chdir(folder)
    torch.set_num_threads(1)
    stages.train.main()


@pytest.mark.xdist_group("distributed")
def test_run_of_one_process_goes_on_in_two_to_what_one_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_alone(tmp_path / "alone", monkeypatch)
    folder, save = tmp_path / "project", TrainState.save

    def kill_after_first_state(state: TrainState) -> None:
        save(state)
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(TrainState, "save", kill_after_first_state)
        with pytest.raises(SystemExit):
            train_alone(folder, patch)
    write_plain(folder, 2)
    said = train(folder)
    assert "Going on at epoch 1" in said
    assert (
        "not always divided alike (processes, grad_accumulation_steps, threads: [1, 1, 1]" in said
    )
    # The second process is silent.
    assert sum(line.startswith("epoch ") for line in said.splitlines()) == 4
    assert_about_equal(tmp_path / "alone", folder)


@pytest.mark.xdist_group("distributed")
def test_what_aborts_at_the_end_of_the_interpreter_does_not_fail_a_finished_run(
    tmp_path: Path,
) -> None:
    write_plain(tmp_path, 1, epochs=1)
    program = "import atexit, os, stages.train; atexit.register(os.abort); stages.train.main()"
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=1", "--no-python"]
    ended = subprocess.run(
        [sys.executable, *torchrun, sys.executable, "-c", program],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "temperature" in ended.stdout


def start_endless(folder: Path) -> "subprocess.Popen[str]":
    """Two processes that would train for long, and have saved a state."""
    write_plain(folder, 2, epochs=100_000)
    process = start_train(folder)
    wait_for_new_state(process, [])
    assert process.poll() is None
    return process


@pytest.mark.xdist_group("distributed")
def test_killed_stage_leaves_no_process_behind(tmp_path: Path) -> None:
    process = start_endless(tmp_path / "project")
    workers = psutil.Process(process.pid).children(recursive=True)
    assert len(workers) >= 2
    process.send_signal(signal.SIGKILL)
    process.wait()
    for worker in workers:
        wait_for_end(worker, 40)


@pytest.mark.xdist_group("distributed")
def test_stopped_stage_stops_its_processes_and_keeps_the_state(tmp_path: Path) -> None:
    process = start_endless(tmp_path / "project")
    process.send_signal(signal.SIGINT)
    _, error = process.communicate()
    assert process.returncode == 1
    assert "run the same command again to go on" in error
    assert "Traceback" not in error


def test_frozen_batch_norm_stays_frozen_when_it_is_shared() -> None:
    model = build_classifier(
        tiny_params(model={"freeze": "layer2"}).model,
        backbone_spec("resnet18", pretrained=True),
        classes=3,
        input_size=32,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    )
    convert_sync_batch_norm(model, ProcessGroup(0, 2), torch.device("cpu"))
    norms = {n: m for n, m in model.train().named_modules() if isinstance(m, _BatchNorm)}
    assert not norms["backbone.bn1"].training
    assert type(norms["backbone.bn1"]) is nn.BatchNorm2d
    assert norms["backbone.layer4.0.bn1"].training
    assert type(norms["backbone.layer4.0.bn1"]) is not nn.BatchNorm2d


@pytest.mark.parametrize(
    ("norm", "shape"),
    [
        (BatchNormAct2d(3, act_layer=nn.PReLU), (8, 3, 5, 5)),
        (nn.BatchNorm1d(3), (8, 3)),
        (nn.BatchNorm1d(3), (8, 3, 5)),
    ],
)
def test_shared_batch_norm_computes_what_that_of_one_process_does(
    norm: nn.Module, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def alone(_: Tensor) -> None: ...

    monkeypatch.setattr(distributed, "all_reduce", alone)
    network = nn.Sequential(norm, nn.Flatten())
    shared = deepcopy(network)
    convert_sync_batch_norm(shared, ProcessGroup(0, 2), torch.device("cpu"))
    assert type(shared[0]) is not type(norm)
    images = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    for mode in (True, False):
        expected, found = network.train(mode)(images), shared.train(mode)(images)
        torch.testing.assert_close(found, expected)
    torch.testing.assert_close(shared.state_dict(), network.state_dict())


def test_batch_norm_of_gpus_keeps_the_activation_inside() -> None:
    norm = BatchNormAct2d(3, act_layer=nn.ReLU)
    network, images = nn.Sequential(norm), torch.linspace(-1, 1, 6).view(2, 3, 1, 1)
    expected = network.eval()(images)
    convert_sync_batch_norm(network, ProcessGroup(0, 2), torch.device("cuda"))
    assert isinstance(network[0], nn.SyncBatchNorm)
    torch.testing.assert_close(network.eval()(images), expected)


def test_batch_norm_in_two_places_stays_one() -> None:
    norm = nn.BatchNorm2d(3)
    network = nn.Sequential(norm, nn.ReLU(), norm)
    convert_sync_batch_norm(network, ProcessGroup(0, 2), torch.device("cpu"))
    assert network[0] is network[2]
    assert network[0] is not norm


@pytest.mark.parametrize(
    ("gpus", "wanted", "started"), [(0, None, 1), (4, None, 4), (4, 2, 2), (0, 3, 3)]
)
def test_one_process_a_gpu_unless_another_number_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, gpus: int, wanted: int | None, started: int
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert num_processes(wanted) == started


def test_lone_process_writes() -> None:
    assert ProcessGroup().is_main_process
    assert not ProcessGroup(rank=1, world_size=2).is_main_process
