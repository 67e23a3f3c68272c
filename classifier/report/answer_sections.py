"""Write the sections of the report page on what is answered: unknown images, sets and costs."""

from classifier.report.formatting import fraction, interval, with_interval
from classifier.report.parts import Paragraph, Section, Table
from classifier.report.run_results import RunResults


def outside_section(run: RunResults) -> Section:
    """Say how well images that show none of the classes are recognised."""
    refused = run.measure("refused_share")
    if refused is None:
        return Section("None of the classes", [Paragraph("evaluate.outside_share is off.")])
    text = f"{float(refused['value']):.1%} of the test images are refused."
    if not run.outside:
        text += (
            " No class can be left out here, so how often images that show none of the classes are "
            "refused is not known: name a folder of some in evaluate.foreign."
        )
        return Section("None of the classes", [Paragraph(text)])
    headings = ["images", "number", "AUROC", "refused", "good images refused"]
    headings += ["AUROC of maximum softmax", "refused by it"]
    names = ("auroc", "refused", "good_refused", "max_softmax_auroc", "max_softmax_refused")
    rows = [
        [row["left_out"], row["images"], *(fraction(row[name]) for name in names)]
        for row in run.outside
    ]
    if run.left_out is not None:
        text += " A class in turn is left out, so that its images show none of the classes."
        if run.left_out["backbone"] != "frozen":
            text += (
                " The backbone was trained with the class, so that these figures are too good: new "
                "kinds of images are recognised less often."
            )
    table = Table("Images of none of the classes", headings, rows)
    return Section("None of the classes", [Paragraph(text), table])


def sets_section(run: RunResults) -> Section:
    """Give coverage and size of the prediction sets."""
    if not run.prediction_sets:
        return Section("Prediction sets", [Paragraph("evaluate.coverage is off.")])
    rows = [
        [
            row["class"],
            row["images"],
            with_interval(row, "coverage"),
            with_interval(row, "size"),
            row["quantile"],
        ]
        for row in run.prediction_sets
    ]
    seen, unseen = (row["coverage"] for row in run.prediction_sets[-2:])
    note = (
        "The thresholds come from the validation split, which also chose the epoch and the "
        "temperature. A class without a threshold of its own has the promised coverage only on "
        "average over all."
    )
    if unseen:
        note += (
            f" What the choice costs: the sets hold the class of {float(seen):.1%} of the test "
            "images; with thresholds from other test images, which nothing has used, of "
            f"{float(unseen):.1%}."
        )
    headings = ["class", "test images", "coverage", "mean size", "quantile"]
    return Section(
        "Prediction sets",
        [Table("On the test split, with 95% intervals", headings, rows), Paragraph(note)],
    )


def costs_section(run: RunResults) -> Section:
    """Give what the decision of least expected cost saves."""
    if not run.costs:
        text = "evaluate.costs is null: every error costs the same."
        return Section("Costs", [Paragraph(text)])
    rows = [
        [row["decision"], fraction(row["mean_cost"]), interval(row)]
        + [fraction(row[name]) for name in ("unknown_share", "answered_accuracy")]
        for row in run.costs
    ]
    headings = ["decision", "mean cost", "95% interval", "unknown", "accuracy of the others"]
    return Section("Costs", [Table("Cost of a test image", headings, rows)])
