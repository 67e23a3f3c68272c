"""Print the metrics of the last run and where its charts are.

`classifier summary`
"""

import json
from pathlib import Path

from classifier.commands.shared.parser import CommandParser
from classifier.core.config import STAGES

RESULTS = Path("results")
REPORT = RESULTS / "report.html"


def main(arguments: list[str]) -> None:
    """Print every stage's metrics and the paths of the charts."""
    CommandParser(
        prog="classifier summary",
        description="Print the metrics of the last run and where its charts are.",
    ).parse_args(arguments)
    for stage in STAGES:
        path = RESULTS / stage / "metrics.json"
        if path.exists():
            print(f"\n{stage}")
            for name, value in json.loads(path.read_text("utf-8")).items():
                number = f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
                print(f"  {name:<34}{number:>12}")
    print("\nimages")
    for stage in STAGES:
        for path in sorted((RESULTS / stage).glob("*.png")):
            print(f"  {path.as_posix()}")
    if REPORT.exists():
        print(f"\nall on a page: {REPORT.as_posix()}")
