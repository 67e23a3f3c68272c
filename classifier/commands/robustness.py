"""Measure the test accuracy under adversarial attacks (FGSM, PGD).

`classifier robustness` writes results/robustness.csv and results/robustness.png.
"""

from pathlib import Path

from classifier.commands.shared.parser import CommandParser
from classifier.commands.shared.up_to_date import note_outdated

DATA, MODELS, RESULTS = Path("data/split"), Path("models"), Path("results")


def main(arguments: list[str]) -> None:
    """Attack the test images; write a table and a chart."""
    CommandParser(
        prog="classifier robustness",
        description="Measure the test accuracy under adversarial attacks (FGSM, PGD).",
        epilog="Writes results/robustness.csv and results/robustness.png.",
    ).parse_args(arguments)
    note_outdated("train")
    # PyTorch is slow to import, which --help need not wait for.
    from classifier.core.files import write_csv  # noqa: PLC0415
    from classifier.evaluation.robustness import draw_robustness, measure_robustness  # noqa: PLC0415
    from classifier.models.devices import choose_device, prepare_pytorch  # noqa: PLC0415
    from classifier.models.prediction import load_trained  # noqa: PLC0415
    from classifier.plotting.figures import write_png  # noqa: PLC0415

    prepare_pytorch()
    table = measure_robustness(*load_trained(MODELS, DATA, choose_device()))
    write_csv(RESULTS / "robustness.csv", table.round(6))
    write_png(draw_robustness(table), RESULTS / "robustness.png")
    print(table.to_string(index=False, float_format="{:.4g}".format))
    print("in results/robustness.csv and results/robustness.png")
