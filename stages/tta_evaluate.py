"""Judge the model by the test split, several views of each picture merged into one answer.

What one view, the centre, gives on the same pictures stands beside it, so that the difference
can be told from chance.
"""

import time
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
from pydantic import Field, field_validator, model_validator

from classifier.augment import AugmentParams, random_view
from classifier.bundle import BundleSpec
from classifier.config import Params, load_section
from classifier.devices import choose_device, make_deterministic
from classifier.errors import UserError, run_program
from classifier.evaluation import Answers, Merge, load_trained, merge_views
from classifier.evaluation_report import per_class_table, write_report
from classifier.metrics import PairedGain, class_scores, cross_entropy, paired_gain
from classifier.prediction import predict_logits
from classifier.runtime import write_timing
from classifier.softmax import probabilities
from classifier.views import View, expand_views, named_view

DATA, MODELS, RESULTS = Path("data/split"), Path("models"), Path("results/tta_evaluate")
CENTRE = "identity"


class TtaParams(Params):
    """Section `tta_evaluate`."""

    batch_size: int = Field(ge=1)
    views: list[str]
    random_views: int = Field(ge=0)
    seed: int = Field(ge=0, lt=2**32)
    merge: Merge

    @field_validator("views")
    @classmethod
    def _views_are_known(cls, views: list[str]) -> list[str]:
        return expand_views(views)

    @model_validator(mode="after")
    def _there_is_a_view(self) -> Self:
        if not self.views and not self.random_views:
            raise ValueError("views is empty and random_views is 0; there must be a view.")
        return self

    def check_fit(self, *, image_size: int, crop: int, augment: AugmentParams) -> None:
        """Raise UserError for views that these sizes or this training augmentation do not allow."""
        for name in self.views:
            try:
                named_view(name, image_size, crop)
            except UserError as error:
                raise UserError(f"tta_evaluate.views: {error}") from None
        if self.random_views and not (augment.moves_pixels or augment.changes_colour):
            raise UserError(
                f"tta_evaluate.random_views is {self.random_views}, but train.augment is all off, "
                "so that all of them would equal 'identity': set 0, or train with augmentation."
            )


def main() -> None:
    started = time.perf_counter()
    params = load_section("tta_evaluate", TtaParams)
    make_deterministic()
    bundle, dataset = load_trained(MODELS, DATA, choose_device())
    spec, rows = bundle.spec, dataset.rows("test")
    views = build_views(params, spec, len(dataset.images))
    # The centre is shown in any case, to compare with, but only once.
    others = [view for view in views if view.name != CENTRE]
    shown = [named_view(CENTRE, spec.image_size, spec.crop), *others]
    asked = time.perf_counter()
    logits = predict_logits(bundle.model, dataset.images, rows, shown, batch_size=params.batch_size)
    speed = len(rows) / (time.perf_counter() - asked)
    before = Answers(dataset, rows, probabilities(logits[0], spec.temperature))
    merged = merge_views(logits[-len(views) :], spec.temperature, params.merge)
    after = Answers(dataset, rows, merged)
    table = compare_classes(before, after)
    gain = paired_gain(before.right, after.right)
    # Named apart from those of evaluate, since `dvc exp show` shows both in one row.
    metrics = {
        "tta_accuracy": float(after.right.mean()),
        "tta_accuracy_before": float(before.right.mean()),
        "tta_log_loss": cross_entropy(after.probabilities, after.labels),
        "tta_gain": gain.gain,
        "tta_gain_low": gain.low,
        "tta_gain_high": gain.high,
        "tta_corrected": gain.corrected,
        "tta_spoiled": gain.spoiled,
    }
    recalls = {name: table[name].to_numpy() for name in ("before", "after")}
    write_report(RESULTS, after, metrics, table, recalls)
    write_timing("tta_evaluate", started, images_per_second=round(speed, 1))
    print(describe(before, after, gain, len(views)))


def build_views(params: TtaParams, spec: BundleSpec, size: int) -> list[View]:
    """The views that are merged: those named, then the random ones. size: pictures in the data set.

    Raises UserError as `TtaParams.check_fit` does.
    """
    augment = AugmentParams.model_validate(spec.params["augment"])
    params.check_fit(image_size=spec.image_size, crop=spec.crop, augment=augment)
    named = [named_view(name, spec.image_size, spec.crop) for name in params.views]
    return named + [
        random_view(
            augment,
            image_size=spec.image_size,
            crop=spec.crop,
            seed=params.seed,
            number=number,
            size=size,
        )
        for number in range(params.random_views)
    ]


def compare_classes(before: Answers, after: Answers) -> pd.DataFrame:
    """`per_class_table` of `after`, with columns `before, after, corrected, spoiled`.

    `before` and `after` are recalls, the other two are numbers of pictures.
    """
    table, labels = per_class_table(after), after.labels
    scores = class_scores(before.predicted, labels, len(table))
    return table.assign(
        before=scores.recall,
        after=table["recall"],
        corrected=np.bincount(labels[~before.right & after.right], minlength=len(table)),
        spoiled=np.bincount(labels[before.right & ~after.right], minlength=len(table)),
    )


def describe(before: Answers, after: Answers, gain: PairedGain, views: int) -> str:
    """The comparison in one sentence."""
    verdict = "distinguishable" if gain.is_certain else "not distinguishable"
    return (
        f"accuracy from {before.right.mean():.4f} to {after.right.mean():.4f} (views: {views}, "
        f"corrected: {gain.corrected}, spoiled: {gain.spoiled}); the gain, {gain.gain:+.4f} "
        f"(95% interval {gain.low:+.4f} to {gain.high:+.4f}), is {verdict} from zero."
    )


if __name__ == "__main__":
    run_program(main)
