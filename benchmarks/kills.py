"""Kill the train stage at random moments and compare what it ends with.

    python benchmarks/kills.py --kills 20 --epochs 20

Trains the digits once undisturbed, and once killed (SIGKILL) again and again, 0 to `--longest`
seconds after it has gone on training, with a state written after every step; then hashes every
output but timing.json of both.
"""

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--longest", type=float, default=1.5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        undisturbed, disturbed = (Path(folder) / name for name in ("undisturbed", "disturbed"))
        for project in (undisturbed, disturbed):
            prepare(project, options.epochs)
        start(undisturbed).wait()
        moments = random.Random(0)
        done = 0
        while done < options.kills:
            process = start(disturbed)
            wait_for_state(disturbed, process)
            time.sleep(moments.uniform(0, options.longest))
            process.send_signal(signal.SIGKILL)
            if process.wait() != -signal.SIGKILL:
                raise SystemExit(f"The run ended after {done} kills: raise --epochs.")
            done += 1
            print(f"kill {done}: {newest_state(disturbed)}", flush=True)
        start(disturbed).wait()
        hashes = [digest(project) for project in (undisturbed, disturbed)]
    verdict = "the same" if hashes[0] == hashes[1] else "DIFFERENT"
    print(f"{done} kills; outputs are {verdict}: {hashes[0][:16]} {hashes[1][:16]}")
    raise SystemExit(hashes[0] != hashes[1])


def prepare(project: Path, epochs: int) -> None:
    content = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))
    content["train"] |= {"epochs": epochs}
    content["runtime"] |= {"checkpoint_minutes": 1e-9}
    project.mkdir()
    (project / "params.yaml").write_text(yaml.safe_dump(content), "utf-8")
    shutil.copytree(ROOT / "data/split", project / "data/split")


def start(project: Path) -> "subprocess.Popen[bytes]":
    variables = {"PYTHONPATH": str(ROOT), "CLASSIFIER_CACHE": str(project / "cache")}
    return subprocess.Popen(
        [sys.executable, "-m", "stages.train"],
        cwd=project,
        env=os.environ | variables,
        stdout=subprocess.DEVNULL,
    )


def newest_state(project: Path) -> str:
    return max((path.name for path in project.glob("cache/resume/*/*.state")), default="none")


def wait_for_state(project: Path, process: "subprocess.Popen[bytes]") -> None:
    before = newest_state(project)
    while newest_state(project) == before and process.poll() is None:
        time.sleep(0.001)


def digest(project: Path) -> str:
    total = hashlib.sha256()
    for part in ("models", "results"):
        for path in sorted((project / part).rglob("*")):
            if path.is_file() and path.name != "timing.json":
                total.update(path.relative_to(project).as_posix().encode() + path.read_bytes())
    return total.hexdigest()


if __name__ == "__main__":
    main()
