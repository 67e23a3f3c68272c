"""Put a run on one page: data, training, metrics, confusion, galleries, exports."""

from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from classifier.core.text import counted
from classifier.report.answer_sections import costs_section, outside_section, sets_section
from classifier.report.formatting import fraction, interval, measure_name
from classifier.report.input_sections import data_section, training_section
from classifier.report.result_sections import (
    calibration_section,
    classes_section,
    confusion_section,
    exports_section,
    features_section,
    galleries_section,
    metrics_section,
    slices_section,
    tta_section,
)
from classifier.report.run_results import RunResults

_HEADLINE = ("accuracy", "macro_f1", "balanced_accuracy", "ece")


@dataclass(frozen=True)
class Headline:
    """A number at the top of the page: name, value, and a remark below it."""

    name: str
    value: str
    remark: str


def report_page(run: RunResults) -> str:
    """Return the HTML document; it contains the images of results/."""
    bundle = run.bundle
    template = page_environment().get_template("report.html.jinja")
    return template.render(
        title=f"Report of a run: {bundle['backbone']['name']}, {len(bundle['classes'])} classes",
        headline=_headline(run),
        measured_on=f"Measured on {counted(run.split['test'], 'test image')} of {run.data}.",
        sections=[
            data_section(run),
            training_section(run),
            metrics_section(run),
            calibration_section(run),
            confusion_section(run),
            classes_section(run),
            slices_section(run),
            outside_section(run),
            sets_section(run),
            costs_section(run),
            galleries_section(),
            features_section(run),
            tta_section(run),
            exports_section(run),
        ],
    )


def page_environment() -> Environment:
    """Return Jinja's environment for HTML: all text is escaped; an unknown name is an error."""
    return Environment(
        loader=PackageLoader("classifier.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _headline(run: RunResults) -> list[Headline]:
    shown = []
    for name in _HEADLINE:
        row = run.measure(name)
        assert row is not None
        remark = f"95%: {interval(row)}" if row["low"] else "0 is best"
        shown.append(Headline(measure_name(name), fraction(row["value"]), remark))
    return shown
