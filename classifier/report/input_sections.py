"""Write the sections of the report page on data and training."""

from classifier.processing.idle_knobs import idle_knobs, unread_knobs
from classifier.report.data_figures import LARGEST_SHEET
from classifier.report.formatting import fraction, knobs_that_count
from classifier.report.parts import Details, Paragraph, Part, Section, Table
from classifier.report.run_results import RunResults, embedded_figure


def data_section(run: RunResults) -> Section:
    """Describe the data: origin, sizes, samples, checks, duplicates."""
    split = run.split
    left_out = f"; {LARGEST_SHEET} of {split['classes']:,} classes are shown"
    parts: list[Part] = [
        _facts(run),
        embedded_figure(
            "report/class_counts.png",
            f"Bars of the number of images of each of {split['classes']} classes by split, from "
            f"{split['smallest_class']} to {split['largest_class']}.",
            "Images of each class and split.",
        ),
        embedded_figure(
            "report/samples.png",
            "A sheet of training images, each under the name of its class.",
            "Training images, as they are stored"
            f"{left_out if split['classes'] > LARGEST_SHEET else ''}.",
        ),
        embedded_figure(
            "report/image_measures.png",
            "Histograms of the sizes, shapes, brightness and contrast of the images.",
            "Measures of the images.",
        ),
        Table(
            "Data checks",
            ["check", "limit", "cases", "worst", "verdict"],
            [list(row.values()) for row in run.checks],
        ),
        embedded_figure(
            "report/duplicates.png",
            "Pairs of duplicate images, each image under its class and split; or the words `no "
            "duplicates`.",
            "Duplicates.",
        ),
    ]
    if run.problems:
        problems = [[row["path"], row["reason"]] for row in run.problems]
        parts.append(Table("Images that could not be read", ["file", "why"], problems))
    return Section("Data", parts)


def training_section(run: RunResults) -> Section:
    """Describe the training: curves, augmentation, params."""
    train = run.train
    summary = (
        f"{run.chosen}, the best by {run.bundle['params']['monitor']}. "
        f"{train['trainable_parameters']:,} of {train['parameters']:,} weights were trained."
    )
    alt = (
        f"Loss and accuracy of training and validation. {run.chosen}: its validation "
        f"loss is {fraction(train['val_loss'])}, its validation accuracy "
        f"{fraction(train['val_accuracy'])}."
    )
    by = "strength of the L2 penalty" if "l2" in train else "epoch"
    idle = idle_knobs(run.bundle["params"])
    unread = unread_knobs(run.bundle["params"])
    params = [list(pair) for pair in knobs_that_count(run.bundle["params"], [*idle, *unread])]
    shown = "One training image as validated, and its augmentations."
    if "augment" in idle:
        shown = "One training image as validated, and its views on which the head was trained."
        if not run.bundle["params"]["feature_views"]:
            shown = "One training image, as validated and as the head was trained on it."
    return Section(
        "Training",
        [
            Paragraph(summary),
            embedded_figure("report/curves.png", alt, f"Loss and accuracy by {by}."),
            embedded_figure("report/augmentations.png", shown, shown),
            Details("Params", Table("Params of train that are not off", ["name", "value"], params)),
        ],
    )


def _facts(run: RunResults) -> Table:
    split = run.split
    rows = [
        ["source", run.data],
        ["file", run.raw_files],
        ["hash", run.raw_hash],
        ["images", f"{run.images:,}"],
        ["classes", f"{split['classes']:,}"],
        *([f"{name} split", run.size_of(name)] for name in ("train", "val", "test")),
        ["files that are not used (results/split/files.csv)", run.unused_files],
        ["smallest and largest class", f"{split['smallest_class']:,}, {split['largest_class']:,}"],
        ["skipped, because they could not be read", f"{split['skipped']:,}"],
        ["in val or test, with a duplicate or their group in train", f"{split['leaked']:,}"],
        ["stored as", f"squares of {run.bundle['stored_size']} pixels ({run.bundle['resize']})"],
    ]
    return Table("Data set", ["property", "value"], rows)
