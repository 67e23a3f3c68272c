"""Write the sections of the report page on metrics, mistakes, TTA and exports."""

from classifier.core.text import counted
from classifier.report.formatting import fraction, interval, measure_name, with_interval
from classifier.report.parts import Paragraph, Section, Table
from classifier.report.result_files import Row
from classifier.report.run_results import RunResults, embedded_figure
from classifier.report.verdict import verdict_of

_SLICES = 10  # that the page lists; results/evaluate/slices.csv has all


def metrics_section(run: RunResults) -> Section:
    """List all measures of the test split with their intervals."""
    rows = [
        [measure_name(row["measure"]), fraction(row["value"]), interval(row)]
        for row in run.measures
    ]
    note = (
        "The intervals are bootstrapped: they cover the choice of test images of the same kind. "
        "They do not hold for images of another kind."
    )
    if run.measure("groups_per_image") is not None:
        note += (
            " Images of one group (split.group_by, duplicates) count as independent, so that "
            "intervals are narrower, and p-values smaller, than they should be."
        )
    return Section(
        "Metrics",
        [Table("On the test split", ["measure", "value", "95% interval"], rows), Paragraph(note)],
    )


def calibration_section(run: RunResults) -> Section:
    """Show how well confidence matches accuracy, before and after temperature scaling."""
    before, after = (run.measure(name) for name in ("ece_uncalibrated", "ece"))
    assert before is not None
    assert after is not None
    text = (
        f"A temperature of {run.bundle['temperature']:g}, fitted on the validation split, changes "
        "the expected calibration error (ECE) from "
        f"{fraction(before['value'])} to {fraction(after['value'])}."
    )
    coverage, accuracy = run.measure("coverage"), run.measure("answered_accuracy")
    if coverage is not None:
        answered = f"{float(coverage['value']):.1%} of the test images are answered"
        text += f" By the rules of models/decision.json, {answered}"
        text += f", {float(accuracy['value']):.1%} of them correctly." if accuracy else "."
    return Section(
        "Calibration",
        [
            Paragraph(text),
            embedded_figure(
                "evaluate/reliability.png",
                "Reliability diagrams before and after calibration: accuracy of the predictions "
                "by their confidence, beside the diagonal.",
                "Where the bars meet the diagonal, confidence equals accuracy.",
            ),
            embedded_figure(
                "evaluate/coverage.png",
                "Risk-coverage curve: accuracy of the most confident predictions by their share of "
                "the images.",
                "Accuracy when the least confident predictions are rejected, for that alone.",
            ),
        ],
    )


def confusion_section(run: RunResults) -> Section:
    """Show the confusion matrix and the most confused pairs."""
    pairs = [
        [row["actual"], row["predicted"], row["count"], f"{float(row['share']):.1%}"]
        for row in run.confused_pairs
    ]
    alt = (
        f"Confusion matrix of {run.split['classes']} classes and "
        f"{counted(run.split['test'], 'test image')}; the table below names the pairs "
        "that are confused most often."
    )
    headings = ["actual", "predicted", "images", "share of the actual class"]
    return Section(
        "Confusion",
        [
            embedded_figure("evaluate/confusion_matrix.png", alt),
            Table("Most confused pairs", headings, pairs),
        ],
    )


def classes_section(run: RunResults) -> Section:
    """List precision, recall and F1 of each class."""
    rows = [
        [
            row["class"],
            row["train"],
            row["test"],
            with_interval(row, "precision"),
            with_interval(row, "recall"),
            f"{float(row['f1']):.2f}" if row["f1"] else "",
        ]
        for row in run.per_class
    ]
    headings = ["class", "training images", "test images", "precision", "recall", "F1"]
    return Section(
        "Classes",
        [
            Table("Each class, with 95% intervals (Wilson)", headings, rows),
            embedded_figure(
                "evaluate/per_class.png",
                "Bars of each class's recall beside its number of training images; the table "
                "has the numbers.",
            ),
        ],
    )


def slices_section(run: RunResults) -> Section:
    """List the slices of the test split with the lowest accuracy."""
    if not run.slices:
        return Section("Slices", [Paragraph("The test split is too small for slices.")])
    rows = [
        [
            row["slice"],
            row["images"],
            with_interval(row, "accuracy"),
            f"{float(row['gap']):+.3f}",
            f"{float(row['adjusted_p_value']):.2g}",
        ]
        for row in run.slices[:_SLICES]
    ]
    headings = ["slice", "test images", "accuracy", "gap to the others", "p-value"]
    note = (
        "The p-values (Fisher's exact test) are corrected for the number of slices, "
        f"{len(run.slices)}. A gap with a large p-value may be chance."
    )
    return Section(
        "Slices",
        [
            Table("The lowest accuracies, with 95% intervals (Wilson)", headings, rows),
            Paragraph(note),
        ],
    )


def galleries_section() -> Section:
    """Show the most confident mistakes and the least confident correct predictions."""
    text = (
        "Above each image: its class, an arrow to the predicted class where that differs, and the "
        "confidence. Beside it, where the network allows a heat map (Grad-CAM): in red and yellow, "
        "the image regions that support the prediction."
    )
    return Section(
        "Galleries",
        [
            Paragraph(text),
            embedded_figure(
                "evaluate/confident_mistakes.png",
                "The wrong predictions with the highest confidence, with heat maps; or the words "
                "`no mistake`.",
                "The most confident mistakes: often the label is wrong or ambiguous.",
            ),
            embedded_figure(
                "evaluate/least_confident_correct.png",
                "The correct predictions with the lowest confidence, with heat maps.",
                "The least confident correct predictions.",
            ),
        ],
    )


def features_section(run: RunResults) -> Section:
    """Show the test images by their features, and what the mistakes look like."""
    measure = run.measure("knn_accuracy")
    assert measure is not None
    text = (
        "The features are what the head of the network sees of an image. Without a head, the "
        f"nearest training images, ten at most, classify {float(measure['value']):.1%} of the test "
        "images correctly."
    )
    return Section(
        "Features",
        [
            Paragraph(text),
            embedded_figure(
                "report/feature_map.png",
                "Test images as points in colours and shapes of their classes, on the first two "
                "principal components of their features; rings mark the mistakes.",
                "Classes that overlap here may still be separate in the other dimensions.",
            ),
            embedded_figure(
                "report/similar_images.png",
                "Mistakes on the left, and beside each the training images with the most similar "
                "features; or the words `no mistakes`.",
                "Mistakes (class → prediction), and the training images with the most similar "
                "features.",
            ),
        ],
    )


def tta_section(run: RunResults) -> Section:
    """Compare several views (test-time augmentation) with the single view."""
    rows = [
        [
            f"{row['set']}, mean of {row['merge'].replace('_', '-')}",
            row["views"],
            *(fraction(row[name]) for name in ("accuracy", "log_loss", "gain")),
            f"{fraction(row['low'])} to {fraction(row['high'])}",
            row["names"],
        ]
        for row in run.views
    ]
    headings = ["set", "views", "accuracy", "log loss", "gain", "95% interval", "names"]
    moved = [
        [row["class"], *map(fraction, (row["before"], row["after"])), *changes]
        for row in run.tta_per_class
        if (changes := [row["corrected"], row["regressed"]]) != ["0", "0"]
    ]
    columns = ["class", "recall before", "after", "corrected", "regressed"]
    return Section(
        "Test-time augmentation",
        [
            Paragraph(verdict_of(run)),
            Table("Views on the test split", headings, rows),
            Table("Classes whose predictions change", columns, moved),
        ],
    )


def exports_section(run: RunResults) -> Section:
    """List the exported files and the attempts at 8-bit quantization."""
    return Section(
        "Exports",
        [
            Table(
                "Files in models/export",
                ["file", "MB", "accuracy", "top-1 agreement", "largest logit difference"],
                [_export_row(row) for row in run.formats],
            ),
            Table(
                "Attempts at 8-bit quantization, on the validation split; an image that is refused "
                "as none of the classes counts as an error",
                ["calibration", "accuracy", "drop", "MB", "published", "layers left in float"],
                [_attempt_row(row) for row in run.int8_attempts],
            ),
        ],
    )


def _export_row(row: Row) -> list[str]:
    if row.get("left_out"):
        return [row["file"], "", "", "", f"left out: {row['left_out']}"]
    shares = [fraction(row[name]) for name in ("accuracy", "top1_agreement")]
    difference = f"{float(row['max_logit_difference']):.2g}"
    return [row["file"], f"{float(row['megabytes']):.2f}", *shares, difference]


def _attempt_row(row: Row) -> list[str]:
    shares = [fraction(row[name]) for name in ("val_accuracy", "val_accuracy_drop")]
    published = "yes" if row["published"] == "True" else "no"
    size = f"{float(row['megabytes']):.2f}"
    return [row["calibration"], *shares, size, published, row["excluded_layers"]]
