"""Draw the figures of a run from the numbers and the images that earlier stages left."""

from pathlib import Path

import pandas as pd

from classifier.data.augment import AugmentParams
from classifier.data.dataset import Dataset, load_dataset
from classifier.plotting.figures import write_png
from classifier.report.run_results import RESULTS, RunResults, file_of
from classifier.report.training_figures import draw_augmentations, draw_curves

DATA, FIGURES = Path("data/split"), RESULTS / "report"


def write_figures(run: RunResults) -> None:
    """Write the figures of split and train to results/report/.

    Raises UserError where a table that is drawn is missing.
    """
    dataset = load_dataset(DATA)
    _write_training_figures(run, dataset)


def _write_training_figures(run: RunResults, dataset: Dataset) -> None:
    history = pd.read_csv(file_of("train/history.csv"))
    write_png(draw_curves(history, run.train["best_epoch"]), FIGURES / "curves.png")
    params = run.bundle["params"]
    sheet = draw_augmentations(
        dataset.images[dataset.rows("train")[0]],
        AugmentParams.model_validate(params["augment"]),
        input_size=run.bundle["input_size"],
        seed=params["seed"],
    )
    write_png(sheet, FIGURES / "augmentations.png")
