"""Print the metrics of the last run and where its charts are.

`classifier summary`
"""

import json
from pathlib import Path

from classifier.commands.shared.parser import CommandParser
from classifier.commands.shared.up_to_date import note_outdated
from classifier.core.config import STAGES
from classifier.core.errors import UserError

RESULTS = Path("results")
REPORT = RESULTS / "report.html"


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
    note_outdated()
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
