"""Table and chart of a sweep whose knobs are no plain numbers, or whose trials failed."""

import math
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState, create_trial

from classifier.plotting.figures import write_png
from classifier.sweep.search_space import Scalar
from classifier.sweep.study import Sweep, draw


def study_of(values: list[tuple[Scalar, float | None]]) -> optuna.Study:
    """Return a study of one knob; a trial without a value was refused before its first epoch."""
    study = optuna.create_study()
    kinds = CategoricalDistribution(list(dict(values)))
    for number, (choice, value) in enumerate(values):
        study.add_trial(
            create_trial(
                state=TrialState.PRUNED if value is None else TrialState.COMPLETE,
                value=value,
                params={"train.knob": choice},
                distributions={"train.knob": kinds},
                user_attrs={"experiment": f"sweep-{number}"},
            )
        )
    return study


@pytest.mark.parametrize(
    ("values", "places"),
    [
        ([("linear", 0.5), ("mlp", None)], ["linear", "mlp"]),
        ([("mlp", None), ("linear", 0.5), ("linear", 0.4)], ["mlp", "linear"]),
        ([(True, None), (False, 0.5)], ["True", "False"]),
        # A column of numbers would hold null as a number that is none, which no axis shows.
        ([(None, 0.5), (0.95, 0.4), (None, 0.3)], ["null", "0.95"]),
        ([(3, 0.5), (None, 0.4)], ["3", "null"]),
    ],
)
def test_chart_and_table_show_every_value_that_was_tried(
    tmp_path: Path, values: list[tuple[Scalar, float | None]], places: list[str]
) -> None:
    sweep = Sweep(study_of(values), {f"sweep-{number}" for number in range(len(values))})
    table = sweep.tabulate()
    assert list(dict.fromkeys(map(str, table["train.knob"]))) == places
    figure = draw(table, {"train.knob": False}, "val_loss")
    write_png(figure, tmp_path / "sweep.png")
    for axes in figure.axes:
        points = [
            place for dots in axes.collections for place in np.asarray(dots.get_offsets()).tolist()
        ]
        assert len(points) == sum(value is not None for _, value in values)
        assert all(math.isfinite(number) for point in points for number in point)
    assert [text.get_text() for text in figure.axes[1].get_xticklabels()] == places
