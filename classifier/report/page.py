"""A run on one page: data, training, metrics, confusion, galleries, exports."""

from collections.abc import Sequence

from classifier.metrics.tta_verdict import tta_verdict
from classifier.report.formatting import (
    fraction,
    interval,
    knobs_that_are_on,
    measure_name,
    with_interval,
)
from classifier.report.html import figures, folded, image, page, paragraph, table
from classifier.report.run_results import RESULTS, Row, RunResults, read_bytes

# Tables with more rows than this are folded up.
_LONG_TABLE = 25


def report_page(run: RunResults) -> str:
    """The HTML document; it shows the images in `results/` too."""
    bundle = run.bundle
    title = f"{bundle['backbone']}, {len(bundle['classes'])} classes"
    sections = [
        ("Data", _data(run)),
        ("Training", _training(run)),
        ("Metrics", _metrics(run)),
        ("Calibration", _calibration(run)),
        ("Confusion", _confusion(run)),
        ("Classes", _classes(run)),
        ("Galleries", _galleries()),
        ("Test-time augmentation", _tta(run)),
        ("Exports", _exports(run)),
    ]
    foot = "Seconds and milliseconds, which differ from run to run, stand in results/*/timing.json."
    return page(f"Report of a run: {title}", _lead(run), sections, foot)


def _lead(run: RunResults) -> str:
    shown = []
    for name in ("accuracy", "macro_f1", "balanced_accuracy", "ece"):
        row = run.measure(name)
        assert row is not None
        remark = f"95%: {interval(row)}" if row["low"] else "0 is best"
        shown.append((measure_name(name), fraction(row["value"]), remark))
    images = f"Measured on {run.split['test']:,} test images of {run.data}."
    return f"{figures(shown)}\n{paragraph(images)}"


def _shown(path: str, alt: str, caption: str = "") -> str:
    return image(read_bytes(RESULTS / path), alt, caption)


def _folded_if_long(caption: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    content = table(caption, headings, rows)
    return folded(f"{caption}: {len(rows)} rows", content) if len(rows) > _LONG_TABLE else content


def _data(run: RunResults) -> str:
    split, source = run.split, run.source
    rows = [
        ["source", run.data],
        ["file", f"{source['file']}, {source['bytes']:,} bytes"],
        ["hash", source["checksum"]],
        ["images", f"{run.images:,}"],
        ["classes", f"{split['classes']:,}"],
        *([f"{name} split", f"{split[name]:,} images"] for name in ("train", "val", "test")),
        ["smallest and largest class", f"{split['smallest_class']:,}, {split['largest_class']:,}"],
        ["skipped", f"{split['skipped']:,}"],
        ["in val or test, with a duplicate in train", f"{split['leaked']:,}"],
        ["stored as", f"squares of {run.bundle['stored_size']} pixels ({run.bundle['resize']})"],
    ]
    parts = [
        table("What was learnt from", ["property", "value"], rows),
        _shown(
            "report/class_counts.png",
            f"Bars of the number of images of each of {split['classes']} classes by split, from "
            f"{split['smallest_class']} to {split['largest_class']}.",
            "Images of each class and split.",
        ),
        _shown(
            "report/samples.png",
            "A sheet of training images, each under the name of its class.",
            "Training images, as they are stored.",
        ),
        _shown(
            "report/image_measures.png",
            "Histograms of the sizes, shapes, brightness and contrast of the images.",
            "The images in numbers.",
        ),
        table(
            "Checks of the images",
            ["check", "limit", "cases", "worst", "verdict"],
            [list(row.values()) for row in run.checks],
        ),
        _shown(
            "report/duplicates.png",
            "Pairs of images that show the same, each under its class and split.",
            "Duplicates.",
        ),
    ]
    if run.problems:
        problems = [[row["path"], row["reason"]] for row in run.problems]
        parts.append(_folded_if_long("Images that could not be read", ["file", "why"], problems))
    return "\n".join(parts)


def _training(run: RunResults) -> str:
    train = run.train
    told = (
        f"{train['epochs']} epochs, of which number {train['best_epoch']} was kept: the best by "
        f"{run.bundle['params']['monitor']}. Of {train['parameters']:,} weights "
        f"{train['trainable_parameters']:,} were trained."
    )
    alt = (
        f"Loss and accuracy of training and validation over {train['epochs']} epochs; at the best, "
        f"epoch {train['best_epoch']}, the validation loss is {fraction(train['val_loss'])} and "
        f"the validation accuracy {fraction(train['val_accuracy'])}."
    )
    knobs = [list(pair) for pair in knobs_that_are_on(run.bundle["params"])]
    return "\n".join(
        [
            paragraph(told),
            _shown("report/curves.png", alt, "Loss and accuracy by epoch."),
            _shown(
                "report/augmentations.png",
                "One training image as validated and in sixteen augmentations.",
                "What the augmentation makes of an image.",
            ),
            folded(
                "Parameters", table("Knobs of train that are not off", ["knob", "value"], knobs)
            ),
        ]
    )


def _metrics(run: RunResults) -> str:
    rows = [
        [measure_name(row["measure"]), fraction(row["value"]), interval(row)]
        for row in run.measures
    ]
    told = (
        "Intervals are bootstrapped: so far the number would move with other test images of the "
        "same kind. They say nothing of images of another kind."
    )
    return f"{table('On the test split', ['measure', 'value', '95% interval'], rows)}\n" + (
        paragraph(told)
    )


def _calibration(run: RunResults) -> str:
    before, after = (run.measure(name) for name in ("ece_uncalibrated", "ece"))
    assert before is not None
    assert after is not None
    told = (
        f"A temperature of {run.bundle['temperature']:g}, fitted on the validation split, moves "
        f"the calibration error from {fraction(before['value'])} to {fraction(after['value'])}."
    )
    answered, accuracy = run.measure("coverage"), run.measure("answered_accuracy")
    if answered is not None:
        told += f" With evaluate.reject_below, {float(answered['value']):.1%} are answered"
        told += f", {fraction(accuracy['value'])} of them rightly." if accuracy else "."
    return "\n".join(
        [
            paragraph(told),
            _shown(
                "evaluate/reliability.png",
                "Reliability diagrams before and after calibration: accuracy of the answers by "
                "their confidence, beside the diagonal.",
                "Where the bars meet the diagonal, the model is as sure as it is right.",
            ),
            _shown(
                "evaluate/coverage.png",
                "Accuracy of the most confident answers by the share of images answered.",
                "What it brings to leave the least confident answers out.",
            ),
        ]
    )


def _confusion(run: RunResults) -> str:
    pairs = [
        [row["actual"], row["predicted"], row["count"], f"{float(row['share']):.1%}"]
        for row in run.confused_pairs
    ]
    alt = (
        f"Confusion matrix of {run.split['classes']} classes and {run.split['test']} test "
        "images; the table below names the pairs that are confused most often."
    )
    headings = ["actual", "predicted", "images", "share of the actual class"]
    return "\n".join(
        [
            _shown("evaluate/confusion_matrix.png", alt),
            table("Pairs that are confused most often", headings, pairs),
        ]
    )


def _classes(run: RunResults) -> str:
    rows = [
        [
            row["class"],
            row["train"],
            row["test"],
            with_interval(row, "precision"),
            with_interval(row, "recall"),
            f"{float(row['f1']):.2f}",
        ]
        for row in run.per_class
    ]
    headings = ["class", "training images", "test images", "precision", "recall", "F1"]
    return "\n".join(
        [
            _folded_if_long("Each class, with 95% intervals (Wilson)", headings, rows),
            _shown(
                "evaluate/per_class.png",
                "Bars of each class's recall beside its number of training images; the table "
                "has the numbers.",
            ),
        ]
    )


def _galleries() -> str:
    told = (
        "Above each image stand its class, an arrow to the predicted one where that is another, "
        "and how sure the model is. Beside it, in red and yellow, is what speaks for the "
        "prediction (Grad-CAM)."
    )
    return "\n".join(
        [
            paragraph(told),
            _shown(
                "evaluate/confident_mistakes.png",
                "The wrong answers of which the model is the surest, with heat maps.",
                "The most confident mistakes: often labels that are wrong, or doubtful.",
            ),
            _shown(
                "evaluate/doubtful_hits.png",
                "The right answers of which the model is the least sure, with heat maps.",
                "The least confident hits.",
            ),
        ]
    )


def verdict_of(run: RunResults) -> str:
    """The sentence on test-time augmentation, as its stage prints it."""
    gain, after = run.tta_gain, run.tta["tta_accuracy"]
    return tta_verdict(after - gain.gain, after, gain, run.chosen_views["names"].split())


def _tta(run: RunResults) -> str:
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
    return "\n".join(
        [
            paragraph(verdict_of(run)),
            table("Sets of views on the test split", headings, rows),
            _folded_if_long("Classes whose answers change", columns, moved),
        ]
    )


def _exports(run: RunResults) -> str:
    return "\n".join(
        [
            table(
                "Files in models/export",
                ["file", "MB", "accuracy", "top-1 agreement", "largest logit difference"],
                [_export_row(row) for row in run.formats],
            ),
            table(
                "Attempts at eight bits, on the validation split",
                ["calibration", "accuracy", "drop", "MB", "published", "layers left in float"],
                [_attempt_row(row) for row in run.int8_attempts],
            ),
        ]
    )


def _export_row(row: Row) -> list[str]:
    shares = [fraction(row[name]) for name in ("accuracy", "top1_agreement")]
    difference = f"{float(row['max_logit_difference']):.2g}"
    return [row["file"], f"{float(row['megabytes']):.2f}", *shares, difference]


def _attempt_row(row: Row) -> list[str]:
    shares = [fraction(row[name]) for name in ("val_accuracy", "val_accuracy_drop")]
    published = "yes" if row["published"] == "True" else "no"
    size = f"{float(row['megabytes']):.2f}"
    return [row["calibration"], *shares, size, published, row["excluded_layers"]]
