"""The files that start training on several machines, run with programs that note their calls."""

import os
import shlex
import subprocess
from argparse import Namespace
from pathlib import Path

import pytest
import yaml
from builders.clones import ROOT
from builders.programs import write_program
from torch.distributed.run import get_args_parser

SKY = yaml.safe_load((ROOT / "cluster/sky.yaml").read_text("utf-8"))
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))
SLURM_VARIABLES = {"SLURM_JOB_ID": "10017", "SLURM_NNODES": "2"}
SKY_VARIABLES = {
    "SKYPILOT_NUM_NODES": "2",
    "SKYPILOT_NODE_IPS": "10.0.0.1\n10.0.0.2",
    "SKYPILOT_NUM_GPUS_PER_NODE": "4",
    "SKYPILOT_NODE_RANK": "0",
}


def run(
    folder: Path, script: str, variables: dict[str, str], *, trained: bool = False
) -> list[str]:
    """Run a script in a folder; what was called: dvc, classifier, srun and torchrun.

    trained: whether DVC finds the train stage up to date.
    """
    programs = folder / "programs"
    for name in ("torchrun", "classifier"):
        write_program(programs, name)
    write_program(programs, "dvc", f'[ "$1" != status ] || exit {0 if trained else 1}')
    srun = 'shift\nfor node in 0 1; do SLURM_NODEID=$node "$@" || exit; done'
    write_program(programs, "srun", srun)
    (folder / ".venv/bin").mkdir(parents=True, exist_ok=True)
    (folder / ".venv/bin/activate").touch()
    calls = folder / "calls"
    calls.unlink(missing_ok=True)
    path = os.pathsep.join([str(programs), os.environ["PATH"]])
    unset = ("OMP_NUM_THREADS", "SLURM_GPUS_ON_NODE", "SLURM_CPUS_PER_TASK")
    around = {name: value for name, value in os.environ.items() if name not in unset}
    set_here = {"PATH": path, "CALLS": str(calls), "SLURM_SUBMIT_DIR": str(folder)}
    subprocess.run(
        ["bash", "-c", script], cwd=folder, env=around | set_here | variables, check=True
    )
    return calls.read_text("utf-8").splitlines()


def run_slurm(folder: Path, *, trained: bool = False, **variables: str) -> list[str]:
    script = (ROOT / "cluster/slurm.sh").read_text("utf-8")
    return run(folder, script, SLURM_VARIABLES | variables, trained=trained)


def torchruns(calls: list[str]) -> list[Namespace]:
    """The arguments of each call of torchrun, read as torchrun reads them."""
    found = [shlex.split(call)[1:] for call in calls if call.startswith("torchrun ")]
    return [get_args_parser().parse_args(arguments) for arguments in found]


def test_slurm_starts_one_torchrun_on_each_node(tmp_path: Path) -> None:
    calls = run_slurm(tmp_path, SLURM_GPUS_ON_NODE="4")
    first, second = torchruns(calls)
    assert (first.node_rank, second.node_rank) == (0, 1)
    for called in (first, second):
        assert (called.nnodes, called.nproc_per_node) == ("2", "4")
        assert called.module
        assert called.training_script == "stages.train"
        assert (called.master_addr, called.master_port) == (os.uname().nodename, 20017)
    around = [call for call in calls if call.startswith("dvc ")]
    assert around == [
        "dvc repro split backbone",
        "dvc status --quiet train",
        "dvc commit --force train",
        "dvc repro",
    ]


def test_slurm_starts_one_process_where_there_is_no_gpu(tmp_path: Path) -> None:
    assert {called.nproc_per_node for called in torchruns(run_slurm(tmp_path))} == {"1"}


def test_slurm_job_that_comes_back_after_training_does_not_train_again(tmp_path: Path) -> None:
    calls = run_slurm(tmp_path, trained=True)
    assert calls == ["dvc repro split backbone", "dvc status --quiet train", "dvc repro"]


def test_skypilot_trains_on_every_node_and_goes_on_on_the_first(tmp_path: Path) -> None:
    ranks = range(SKY["num_nodes"])
    calls = [
        run(tmp_path, SKY["run"], SKY_VARIABLES | {"SKYPILOT_NODE_RANK": str(n)}) for n in ranks
    ]
    for rank, called in zip(ranks, calls, strict=True):
        (found,) = torchruns(called)
        assert (found.nnodes, found.node_rank, found.nproc_per_node) == ("2", rank, "4")
        assert (found.master_addr, found.training_script) == ("10.0.0.1", "stages.train")
        assert called[0] == "dvc pull split backbone"
    assert calls[0][2:] == [
        "dvc commit --force train",
        "dvc repro --pull --allow-missing",
        "classifier push",
    ]
    assert len(calls[1]) == 2


def test_what_training_reads_comes_from_the_stages_that_the_scripts_name(tmp_path: Path) -> None:
    written = {
        str(out): name for name, stage in PIPELINE["stages"].items() for out in stage["outs"]
    }
    read = {written[dep] for dep in PIPELINE["stages"]["train"]["deps"] if dep in written}
    on_slurm, on_sky = run_slurm(tmp_path)[0], run(tmp_path, SKY["run"], SKY_VARIABLES)[0]
    assert set(on_slurm.removeprefix("dvc repro ").split()) == read
    assert set(on_sky.removeprefix("dvc pull ").split()) == read


@pytest.mark.parametrize("line", SKY["setup"].splitlines())
def test_skypilot_sets_up_by_a_target_of_the_makefile(line: str) -> None:
    program, target = line.split()
    assert program == "make"
    assert f"\n{target}:" in (ROOT / "Makefile").read_text("utf-8")
