"""Suggest a learning rate for params.yaml from a range test.

`classifier lr-find` writes results/lr_finder.csv and results/lr_finder.png.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from classifier.commands.shared.parser import CommandParser
from classifier.commands.shared.up_to_date import check_up_to_date

if TYPE_CHECKING:
    from classifier.training.lr_finder import Suggestion
    from classifier.training.optimization import OptimizerParams

RESULTS = Path("results")


def main(arguments: list[str]) -> None:
    """Parse no options but --help, run the test, and print what to do."""
    CommandParser(
        prog="classifier lr-find",
        description="Suggest a learning rate for params.yaml from a range test.",
        epilog="Writes results/lr_finder.csv and results/lr_finder.png.",
    ).parse_args(arguments)
    check_up_to_date("split", "backbone")
    # PyTorch and Matplotlib are imported here, since --help needs neither.
    from classifier.commands.shared.lr_chart import draw  # noqa: PLC0415
    from classifier.core.config import load_section  # noqa: PLC0415
    from classifier.core.files import write_csv  # noqa: PLC0415
    from classifier.plotting.figures import write_png  # noqa: PLC0415
    from classifier.training.lr_finder import find_learning_rate, suggest  # noqa: PLC0415
    from classifier.training.params import RuntimeParams, TrainParams  # noqa: PLC0415

    params = load_section("train", TrainParams)
    runtime = load_section("runtime", RuntimeParams)
    table = find_learning_rate(params, runtime.deterministic)
    write_csv(RESULTS / "lr_finder.csv", table)
    found = suggest(table)
    write_png(draw(table, found, params.optimizer.lr), RESULTS / "lr_finder.png")
    print(sentence(found, params.optimizer))


def sentence(found: "Suggestion", params: "OptimizerParams") -> str:
    """Return the suggestion, with the command to try it."""
    changes = f"-S train.optimizer.lr={found.steepest:g}"
    if params.name == "muon":
        # The test moved both rates together.
        changes += f" -S train.optimizer.aux_lr={found.steepest * params.aux_lr / params.lr:.2g}"
    return (
        f"The loss fell fastest at a learning rate of {found.steepest:g} and was lowest at "
        f"{found.lowest:g} (results/lr_finder.png); try it with: dvc exp run {changes}"
    )
