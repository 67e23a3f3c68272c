"""Print the metrics of the last run and where its charts are.

`classifier summary`
"""

import json
from pathlib import Path

from classifier.commands.shared.parser import CommandParser
from classifier.core.config import STAGES, load_yaml
from classifier.core.errors import UserError

RESULTS = Path("results")
REPORT = RESULTS / "report.html"
LOCK = Path("dvc.lock")


def main(arguments: list[str]) -> None:
    """Print every stage's metrics and the paths of the charts."""
    CommandParser(
        prog="classifier summary",
        description="Print the metrics of the last run and where its charts are.",
    ).parse_args(arguments)
    metrics = {stage: RESULTS / stage / "metrics.json" for stage in STAGES}
    images = [
        path for stage in (*STAGES, "report") for path in sorted((RESULTS / stage).glob("*.png"))
    ]
    if not images and not any(path.exists() for path in [*metrics.values(), REPORT]):
        raise UserError(
            f"there are no results in {RESULTS}/ here: run in the project's folder, after `make "
            "repro`."
        )
    if outdated := outdated_stages(LOCK):
        print(
            f"The results of {', '.join(outdated)} are older than those of the stages that they "
            "build on: run `dvc repro`."
        )
    for stage, path in metrics.items():
        if path.exists():
            print(f"\n{stage}")
            for name, value in json.loads(path.read_text("utf-8")).items():
                number = f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
                print(f"  {name:<34}{number:>12}")
    print("\nimages")
    for path in images:
        print(f"  {path.as_posix()}")
    if REPORT.exists():
        print(f"\nall on a page: {REPORT.as_posix()}")


def outdated_stages(lock: Path) -> list[str]:
    """Return the stages that did not run since a stage before them gave other outputs.

    lock: dvc.lock; none are known where it is missing.
    """
    if not lock.is_file():
        return []
    stages = (load_yaml(lock.read_bytes(), str(lock)) or {}).get("stages") or {}
    outputs = {
        out["path"]: (name, out.get("md5"))
        for name, stage in stages.items()
        for out in stage.get("outs", [])
    }
    outdated: list[str] = []
    # Stages stand in dvc.lock in any order, so that it takes several rounds to reach the last.
    for _ in stages:
        for name, stage in stages.items():
            used = [
                (*outputs[dep["path"]], dep.get("md5"))
                for dep in stage.get("deps", [])
                if dep["path"] in outputs
            ]
            if name not in outdated and any(
                maker in outdated or made != taken for maker, made, taken in used
            ):
                outdated.append(name)
    return outdated
