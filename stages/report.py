"""Put the run on a page, results/report.html, and into a card, models/MODEL_CARD.md."""

import sys
from pathlib import Path

if __name__ == "__main__":  # `python stages/report.py` finds the packages of this project
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from classifier.core.files import write_bytes
from classifier.core.stage import run_stage
from classifier.report.model_card import CARD, model_card
from classifier.report.page import report_page
from classifier.report.run_figures import write_figures
from classifier.report.run_results import RESULTS, load_run
from classifier.report.verdict import verdict_of

PAGE = RESULTS / "report.html"


def main() -> None:
    """Run the stage."""
    run = load_run()
    write_figures(run)
    page = report_page(run).encode()
    write_bytes(PAGE, page)
    write_bytes(CARD, model_card(run, verdict_of(run)).encode())
    print(f"{PAGE.as_posix()}, {len(page) / 1e6:.1f} MB, and {CARD.as_posix()}")


if __name__ == "__main__":
    run_stage("report", main)
