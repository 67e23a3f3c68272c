from pathlib import Path

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from classifier.evaluation.calibration_report import (
    coverage_figure,
    coverage_table,
    reliability_figure,
)
from classifier.metrics.calibration import reliability, risk_coverage_curve
from classifier.plotting.figures import write_png


def some_answers(images: int = 500) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    given = generator.dirichlet(np.full(4, 0.3), images)
    return given, np.where(generator.random(images) < 0.8, given.argmax(axis=1), 0)


def test_the_diagram_shows_accuracy_and_images_of_each_bin_side_by_side(tmp_path: Path):
    given, labels = some_answers()
    parts = {"before": reliability(given, labels, 15), "after": reliability(given**2, labels, 15)}
    figure = reliability_figure(parts)
    write_png(figure, tmp_path / "chart.png")
    above, counts = figure.axes[:2], figure.axes[2:]
    assert [axes.get_title().split(":")[0] for axes in above] == ["before", "after"]
    for axes, below, part in zip(above, counts, parts.values(), strict=True):
        bars = [bar.get_height() for bar in axes.patches if isinstance(bar, Rectangle)]
        taken = part.counts > 0
        assert bars[: taken.sum()] == pytest.approx(part.accuracy[taken].tolist())
        shown = [text.get_text() for text in below.texts]
        assert shown == [str(count) if count else "" for count in part.counts]
        assert f"{part.ece:.4f}" in axes.get_title()


def test_the_coverage_table_has_a_row_a_percent_and_ends_with_all_images():
    given, labels = some_answers()
    confidence, right = given.max(axis=1), given.argmax(axis=1) == labels
    table = coverage_table(risk_coverage_curve(confidence, right))
    assert table["coverage"].tolist() == pytest.approx([i / 100 for i in range(1, 101)])
    assert table["accuracy"].iloc[-1] == pytest.approx(right.mean())
    assert table["threshold"].iloc[-1] == confidence.min()
    half = np.sort(confidence)[::-1][:250]
    assert table["threshold"][49] == half.min()


def test_of_few_images_the_coverage_table_has_a_row_each():
    table = coverage_table(
        risk_coverage_curve(np.array([0.9, 0.8, 0.7]), np.array([True, True, False]))
    )
    assert table["coverage"].tolist() == pytest.approx([1 / 3, 2 / 3, 1])


@pytest.mark.parametrize("reject_below", [None, 0.7])
def test_the_curve_marks_where_images_are_rejected(tmp_path: Path, reject_below: float | None):
    given, labels = some_answers()
    confidence = given.max(axis=1)
    curve = risk_coverage_curve(confidence, given.argmax(axis=1) == labels)
    figure = coverage_figure(curve, reject_below)
    write_png(figure, tmp_path / "chart.png")
    lines = figure.axes[0].lines
    assert len(lines) == (1 if reject_below is None else 2)
    if reject_below is not None:
        assert np.asarray(lines[1].get_xdata())[0] == pytest.approx((confidence >= 0.7).mean())


def test_share_at_the_threshold_is_not_called_answered(tmp_path: Path):
    # Other rules may refuse some of these images.
    figure = coverage_figure(risk_coverage_curve(np.array([0.9, 0.6]), np.array([True, True])), 0.7)
    _, labels = figure.axes[0].get_legend_handles_labels()
    assert labels == ["confidence at least 0.7: 50.0% of the images"]


def test_perfect_answers_can_be_drawn(tmp_path: Path):
    given = np.eye(3)[np.arange(9) % 3]
    part = reliability(given, given.argmax(axis=1), 15)
    write_png(reliability_figure({"before": part, "after": part}), tmp_path / "a.png")
    curve = risk_coverage_curve(given.max(axis=1), np.full(9, True))
    write_png(coverage_figure(curve, 0.5), tmp_path / "b.png")
    assert curve.aurc == 0
