"""Judge the model by the test split, several views of each image merged into one answer.

What one view, the centre, gives on the same images stands beside it, so that the difference
can be told from chance.
"""

import time
from itertools import chain
from pathlib import Path
from typing import Literal, Self, get_args

import numpy as np
from pydantic import Field, field_validator, model_validator

from classifier.core.config import Params, load_section
from classifier.core.errors import UserError
from classifier.core.files import write_json
from classifier.core.processes import run_program
from classifier.core.timing import write_timing
from classifier.data.augment import AugmentParams, random_view
from classifier.data.dataset import Dataset
from classifier.evaluation.answer_report import write_report, write_table
from classifier.evaluation.answers import Answers, load_trained
from classifier.evaluation.tta_report import compare_classes, compare_sets
from classifier.evaluation.view_search import greedy_views, milliseconds_a_image
from classifier.metrics.classification import cross_entropy
from classifier.metrics.intervals import PairedGain, paired_gain
from classifier.metrics.tta_verdict import CENTRE, tta_verdict
from classifier.models.bundle import Bundle
from classifier.models.devices import choose_device, make_deterministic
from classifier.models.network import Classifier
from classifier.models.prediction import predict_logits
from classifier.processing.softmax import Merge, merge_views, probabilities
from classifier.processing.spec import BundleSpec
from classifier.processing.views import View, expand_views, named_view

DATA, MODELS, RESULTS = Path("data/split"), Path("models"), Path("results/tta_evaluate")
# The views for prediction and serving; the bundle itself is the train stage's.
CHOICE = MODELS / "tta.json"


class TtaParams(Params):
    """Section `tta_evaluate`."""

    batch_size: int = Field(ge=1)
    views: list[str]
    random_views: int = Field(ge=0)
    seed: int = Field(ge=0, lt=2**32)
    merge: Merge
    search: Literal["none", "greedy"]
    candidates: list[str]
    max_views: int = Field(ge=2)

    @field_validator("views", "candidates")
    @classmethod
    def _views_are_known(cls, views: list[str]) -> list[str]:
        return expand_views(views)

    @model_validator(mode="after")
    def _there_is_a_view(self) -> Self:
        if not self.views and not self.random_views:
            raise ValueError("views is empty and random_views is 0; there must be a view.")
        if self.search == "greedy" and not self.candidates:
            raise ValueError("search is greedy and candidates is empty; name views to try.")
        return self

    def check_fit(self, *, stored_size: int, input_size: int, augment: AugmentParams) -> None:
        """Raise UserError for views that these sizes or this training augmentation do not allow."""
        tried = self.candidates if self.search == "greedy" else []
        for key, names in (("views", self.views), ("candidates", tried)):
            for name in names:
                try:
                    named_view(name, stored_size, input_size)
                except UserError as error:
                    raise UserError(f"tta_evaluate.{key}: {error}") from None
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
    centre = named_view(CENTRE, spec.stored_size, spec.input_size)
    sets = {"configured": build_views(params, spec, len(dataset.images))}
    if params.search == "greedy":
        sets["greedy"] = search_views(params, bundle, dataset, centre)
    asked = time.perf_counter()
    logits = show(bundle.model, dataset, centre, sets, params.batch_size)
    speed = len(rows) / (time.perf_counter() - asked)
    before = Answers(dataset, rows, probabilities(logits[repr(centre)], spec.temperature))
    merged: dict[tuple[str, Merge], Answers] = {}
    for name, views in sets.items():
        stacked = np.stack([logits[repr(view)] for view in views])
        for merge in get_args(Merge):
            given = merge_views(stacked, spec.temperature, merge)
            merged[name, merge] = Answers(dataset, rows, given)
    write_table(RESULTS / "views.csv", compare_sets(before, merged, sets))
    # The last set is the one that was looked for, or else the only one.
    chosen, views = list(sets.items())[-1]
    after = merged[chosen, params.merge]
    gain = paired_gain(before.right, after.right)
    write_results(before, after, gain)
    write_choice(views, params)
    plain, several = (
        milliseconds_a_image(bundle.model, dataset.images, rows[: params.batch_size], of)
        for of in ([centre], views)
    )
    write_timing(
        "tta_evaluate",
        started,
        images_per_second=round(speed, 1),
        milliseconds_a_image=several,
        milliseconds_a_image_before=plain,
    )
    accuracies = (float(before.right.mean()), float(after.right.mean()))
    print(tta_verdict(*accuracies, gain, [view.name for view in views]))
    print(f"milliseconds an image: {plain:.3f} before, {several:.3f} with these views")


def show(
    model: Classifier,
    dataset: Dataset,
    centre: View,
    sets: dict[str, list[View]],
    batch_size: int,
) -> dict[str, np.ndarray]:
    """Logits `(n, classes)` of the test split through each view, by its `repr`.

    The centre is shown in any case, to compare with, and no view twice.
    """
    views = {repr(view): view for view in [centre, *chain(*sets.values())]}
    logits = predict_logits(
        model, dataset.images, dataset.rows("test"), list(views.values()), batch_size=batch_size
    )
    return dict(zip(views, logits, strict=True))


def search_views(params: TtaParams, bundle: Bundle, dataset: Dataset, centre: View) -> list[View]:
    """The centre, and those of the candidates that lower the log loss of the validation split."""
    spec, rows = bundle.spec, dataset.rows("val")
    names = [name for name in params.candidates if name != CENTRE]
    views = [centre, *(named_view(name, spec.stored_size, spec.input_size) for name in names)]
    chosen = greedy_views(
        predict_logits(bundle.model, dataset.images, rows, views, batch_size=params.batch_size),
        dataset.labels[rows],
        temperature=spec.temperature,
        merge=params.merge,
        limit=params.max_views,
    )
    return [views[index] for index in chosen]


def write_results(before: Answers, after: Answers, gain: PairedGain) -> None:
    """Metrics, predictions and classes of the answers that the views give together."""
    # Named apart from those of evaluate, since `dvc exp show` shows both in one row.
    metrics = {
        "tta_accuracy": float(after.right.mean()),
        "tta_log_loss": cross_entropy(after.probabilities, after.labels),
        "tta_gain": gain.gain,
        "tta_gain_low": gain.low,
        "tta_gain_high": gain.high,
        "tta_p_value": gain.p_value,
        "tta_corrected": gain.corrected,
        "tta_spoiled": gain.spoiled,
    }
    table = compare_classes(before, after)
    recalls = {name: table[name].to_numpy() for name in ("before", "after")}
    write_report(RESULTS, after, metrics, table, recalls)


def write_choice(views: list[View], params: TtaParams) -> None:
    """Write the views for prediction and serving; random ones, which belong to rows, cannot be."""
    names = [view.name for view in views]
    if params.search == "none" and params.random_views:
        names = [CENTRE]
        print(f"random views cannot be served: {CHOICE} names the centre alone")
    write_json(CHOICE, {"views": names, "merge": params.merge})


def build_views(params: TtaParams, spec: BundleSpec, size: int) -> list[View]:
    """The views that are merged: those named, then the random ones. size: images in the data set.

    Raises UserError as `TtaParams.check_fit` does.
    """
    augment = AugmentParams.model_validate(spec.params["augment"])
    params.check_fit(stored_size=spec.stored_size, input_size=spec.input_size, augment=augment)
    named = [named_view(name, spec.stored_size, spec.input_size) for name in params.views]
    return named + [
        random_view(
            augment,
            stored_size=spec.stored_size,
            input_size=spec.input_size,
            seed=params.seed,
            number=number,
            size=size,
        )
        for number in range(params.random_views)
    ]


if __name__ == "__main__":
    run_program(main)
