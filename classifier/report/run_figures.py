"""Draw the figures of a run from the numbers and images that earlier stages have written."""

import json
from pathlib import Path

from classifier.data.dataset import Dataset, check_trained_on, load_dataset
from classifier.plotting.agg import Figure
from classifier.plotting.figures import write_png
from classifier.processing.spec import BundleSpec
from classifier.report.data_figures import (
    draw_class_counts,
    draw_duplicates,
    draw_image_measures,
    draw_samples,
)
from classifier.report.feature_figures import draw_feature_map, draw_similar
from classifier.report.result_files import read_images, read_numbers, read_rows, read_table
from classifier.report.run_results import MODELS, RESULTS, RunResults
from classifier.report.training_figures import draw_augmentations, draw_curves

DATA, FIGURES = Path("data/split"), RESULTS / "report"


def write_figures(run: RunResults) -> None:
    """Write the figures of the data and of training to results/report/.

    Raises:
        UserError: A file that is drawn is missing or damaged, or the model is of other data.
    """
    dataset = load_dataset(DATA)
    spec = BundleSpec.model_validate_json(json.dumps(run.bundle))
    check_trained_on(spec, dataset, MODELS, DATA)
    figures = {**_data_figures(dataset), **_training_figures(run, dataset)}
    for name, figure in {**figures, **_feature_figures(run, dataset)}.items():
        write_png(figure, FIGURES / f"{name}.png")


def _data_figures(dataset: Dataset) -> dict[str, Figure]:
    # Names of classes and colour modes are text, also if they look like numbers or empty values.
    counts = read_table(RESULTS / "split/class_counts.csv", "class")
    modes = read_table(RESULTS / "split/image_modes.csv", "mode")
    histograms = read_table(RESULTS / "split/image_histograms.csv", "measure")
    pairs = read_rows(RESULTS / "split/duplicates.csv")
    return {
        "class_counts": draw_class_counts(counts),
        "samples": draw_samples(dataset),
        "image_measures": draw_image_measures(histograms, modes, counts),
        "duplicates": draw_duplicates(
            read_images(DATA / "duplicate_images.npy"), pairs, dataset.classes
        ),
    }


def _training_figures(run: RunResults, dataset: Dataset) -> dict[str, Figure]:
    history = read_numbers(RESULTS / "train/history.csv")
    return {
        "curves": draw_curves(history, run.train["best_epoch"]),
        "augmentations": draw_augmentations(
            dataset.images[dataset.rows("train")[0]],
            read_images(RESULTS / "train/augmentations.npy"),
            run.bundle["params"],
        ),
    }


def _feature_figures(run: RunResults, dataset: Dataset) -> dict[str, Figure]:
    return {
        "feature_map": draw_feature_map(run.feature_map, dataset.classes),
        "similar_images": draw_similar(run.feature_map, dataset),
    }
