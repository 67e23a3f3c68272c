"""Program: the last run on a screen, its metrics as a table and the paths of its images.

`python -m classifier.commands.summary`
"""

import json
from pathlib import Path

from classifier.core.config import STAGES
from classifier.core.processes import run_program

RESULTS = Path("results")
REPORT = RESULTS / "report.html"


def main() -> None:
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


if __name__ == "__main__":
    run_program(main)
