"""Kill `dvc repro` at random moments over all stages, and compare what it ends with.

    python benchmarks/chaos.py --kills 20

Copies the project as it is twice, and runs the pipeline (of the digits, with few epochs) in one of
them undisturbed. In the other, `dvc repro` and the stage that it runs are killed (SIGKILL to the
process group) again and again: in the middle of a stage, while DVC stores its outputs, or, where
the stage was killed before, maybe in the next one. A run that gets through is compared, and begun
anew; in the end `dvc repro` may finish. The lock file and every output but timing.json must be
those of the undisturbed run. A file of DVC's own that the kill has cut short is removed, as
`classifier check` says.
"""

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from classifier.commands.shared.dvc_files import cut_short_file

ROOT = Path(__file__).resolve().parents[1]
_AROUND_A_STAGE = 3.0  # seconds
OUTPUTS = ("data/raw", "data/split", "models", "results")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--finished", type=Path, metavar="PROJECT")
    options = parser.parse_args()
    moments = random.Random(options.seed)
    killed: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        disturbed = Path(folder) / "disturbed"
        if options.finished is None:
            undisturbed = Path(folder) / "undisturbed"
            copy_project(ROOT, undisturbed)
            set_epochs(undisturbed, options.epochs)
            finish(undisturbed)
        else:
            undisturbed = options.finished
        lengths = stage_lengths(undisturbed)
        expected = digests(undisturbed)
        copy_project(undisturbed, disturbed)
        while killed.total() < options.kills:
            stage = kill_once(disturbed, lengths, killed, moments)
            if stage is not None:
                killed[stage] += 1
                print(f"kill {killed.total()}: {stage}", flush=True)
                if (cut := cut_short_file(disturbed)) is not None:
                    cut.unlink()
                    print(f"removed {cut.name}, which the kill has cut short", flush=True)
                continue
            compare(disturbed, expected)
            shutil.rmtree(disturbed)
            copy_project(undisturbed, disturbed)
        finish(disturbed)
        compare(disturbed, expected)
    where = ", ".join(f"{stage} {count}" for stage, count in killed.items())
    print(f"{killed.total()} kills ({where}); {len(expected)} files are the same.")


def copy_project(source: Path, project: Path) -> None:
    """The tracked files of a project, without results and lock file, as a DVC project."""
    listed = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=source, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if name == "dvc.lock" or name.startswith("results/") or not (source / name).is_file():
            continue
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / name, project / name)
    subprocess.run(["git", "init", "--quiet"], cwd=project, check=True)


def set_epochs(project: Path, epochs: int) -> None:
    path = project / "params.yaml"
    text = path.read_text("utf-8")
    text = re.sub(r"^( +epochs:).*", rf"\1 {epochs}", text, count=1, flags=re.M)
    path.write_text(text, "utf-8")


def start(project: Path) -> "subprocess.Popen[str]":
    """`dvc repro` in a process group of its own."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    variables = {"PATH": path, "CLASSIFIER_CACHE": str(project / "cache"), "PYTHONPATH": ""}
    return subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro"],
        cwd=project,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def next_stage(process: "subprocess.Popen[str]", said: list[str]) -> str | None:
    """Read on until DVC begins to run a stage; its name, or None at the end."""
    assert process.stdout is not None
    for line in process.stdout:
        said.append(line)
        if begun := re.match(r"Running stage '(\w+)':", line):
            return begun[1]
    return None


def stage_lengths(project: Path) -> dict[str, float]:
    """The seconds that each stage took in a project in which all have run."""
    files = project.glob("results/*/timing.json")
    return {path.parent.name: json.loads(path.read_text("utf-8"))["seconds"] for path in files}


def kill_once(
    project: Path, lengths: dict[str, float], killed: Counter[str], moments: random.Random
) -> str | None:
    """Start, and kill at a random moment; the first stage that ran, or None where all is done.

    The more often a stage was killed the more time it gets, so that all stages have their turn.
    """
    process, said = start(project), list[str]()
    stage = next_stage(process, said)
    if stage is None:
        check_end(process, said)
        return None
    # The program also loads its packages before it looks at the clock, and DVC stores its outputs.
    length = _AROUND_A_STAGE + lengths.get(stage, 0.0)
    time.sleep(moments.uniform(0, length * (1 + killed[stage])))
    os.killpg(process.pid, signal.SIGKILL)
    rest, _ = process.communicate()
    if process.returncode == -signal.SIGKILL:
        return stage
    check_end(process, [*said, rest])
    return None


def finish(project: Path) -> None:
    process = start(project)
    said, _ = process.communicate()
    check_end(process, [said])


def check_end(process: "subprocess.Popen[str]", said: list[str]) -> None:
    if process.wait() != 0:
        raise SystemExit(f"dvc repro failed:\n{''.join(said)}")


def digests(project: Path) -> dict[str, str]:
    """The SHA-256 of the lock file and of every output but timing.json."""
    files = [path for name in OUTPUTS for path in (project / name).rglob("*") if path.is_file()]
    return {
        path.relative_to(project).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in [*files, project / "dvc.lock"]
        if path.name != "timing.json" and not path.name.endswith(".tmp")
    }


def compare(project: Path, expected: dict[str, str]) -> None:
    """Raise SystemExit unless the project holds the same files."""
    found = digests(project)
    different = sorted(
        name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name)
    )
    if different:
        raise SystemExit(f"DIFFERENT after kills: {', '.join(different)}")


if __name__ == "__main__":
    main()
