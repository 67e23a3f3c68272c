"""Evaluate test-time augmentation: several views of each test image merged into one answer.

It is compared with the centre crop alone on the same images, with a test of the difference.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np

from classifier.data.augment_params import AugmentParams
from classifier.data.dataset import Dataset
from classifier.data.random_view import random_view
from classifier.evaluation.answer_report import write_report, write_table
from classifier.evaluation.answers import Answers
from classifier.evaluation.params import TtaParams
from classifier.evaluation.tta_report import compare_classes, compare_merges
from classifier.evaluation.view_search import greedy_views, milliseconds_per_image
from classifier.metrics.intervals import PairedGain, paired_gain
from classifier.metrics.tta_verdict import CONFIGURED, GREEDY, tta_verdict
from classifier.models.bundle import Bundle
from classifier.models.network_outputs import training_dtype
from classifier.models.prediction import predict_split
from classifier.processing.decision import TtaPolicy
from classifier.processing.softmax import Merge, merge_views, probabilities
from classifier.processing.spec import BundleSpec
from classifier.processing.views import CENTRE, View, named_view

# Images whose latency is measured: more take minutes with a large network.
_TIMED_IMAGES = 8


class TtaEvaluation(NamedTuple):
    """Results of the merged views on the test split, and of the centre crop alone.

    Attributes:
        before, after: answers of the centre crop, and of the chosen views merged.
        gain: of accuracy, from `before` to `after`.
        centre, views: the centre crop, and the chosen views.
        chosen: how they were chosen, GREEDY or CONFIGURED.
        images_per_second: speed of the prediction, all views together.
    """

    before: Answers
    after: Answers
    gain: PairedGain
    centre: View
    views: list[View]
    chosen: str
    images_per_second: float

    @property
    def verdict(self) -> str:
        """One sentence: whether the views are worth their cost."""
        before, after = (float(answers.right.mean()) for answers in (self.before, self.after))
        names = [view.name for view in self.views]
        return tta_verdict(before, after, self.gain, names, searched=self.chosen == GREEDY)


def evaluate_tta(
    bundle: Bundle, dataset: Dataset, params: TtaParams, results: Path
) -> TtaEvaluation:
    """Measure the views that a greedy search finds, or the configured ones; write tables, charts.

    Args:
        bundle: the trained model.
        dataset: the data set that it belongs to (`load_trained`).
        params: section `tta_evaluate`.
        results: folder for `metrics.json`, tables and charts.
    """
    spec, rows = bundle.spec, dataset.rows("test")
    centre = named_view(CENTRE, spec.stored_size, spec.input_size)
    chosen, views = CONFIGURED, build_views(params, spec, len(dataset.images))
    if params.search == "greedy":
        chosen, views = GREEDY, search_views(params, bundle, dataset, centre)
    asked = time.perf_counter()
    logits = predict_views(bundle, dataset, [centre, *views], params.batch_size)
    seconds = time.perf_counter() - asked
    before = Answers(dataset, rows, probabilities(logits[repr(centre)], spec.temperature))
    stacked = np.stack([logits[repr(view)] for view in views])
    merged: dict[Merge, Answers] = {
        merge: Answers(dataset, rows, merge_views(stacked, spec.temperature, merge))
        for merge in get_args(Merge)
    }
    names = [view.name for view in views]
    write_table(results / "views.csv", compare_merges(before, merged, chosen, names))
    after = merged[params.merge]
    gain = paired_gain(before.right, after.right)
    write_tta_report(results, before, after)
    return TtaEvaluation(before, after, gain, centre, views, chosen, len(rows) / seconds)


def build_views(params: TtaParams, spec: BundleSpec, images: int) -> list[View]:
    """Build the views of `tta_evaluate.views`, then the random ones.

    Args:
        params: section `tta_evaluate`.
        spec: of the trained model.
        images: number of images in the data set.

    Raises:
        UserError: as `TtaParams.check_fit` does.
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
            size=images,
        )
        for number in range(params.random_views)
    ]


def search_views(params: TtaParams, bundle: Bundle, dataset: Dataset, centre: View) -> list[View]:
    """Return the centre crop and the candidates that lower the log loss of the validation split.

    A frozen backbone computes in the number format of its training, which may be faster.
    """
    spec = bundle.spec
    names = [name for name in params.candidates if name != CENTRE]
    views = [centre, *(named_view(name, spec.stored_size, spec.input_size) for name in names)]
    chosen = greedy_views(
        predict_split(
            bundle,
            dataset,
            "val",
            batch_size=params.batch_size,
            views=views,
            dtype=training_dtype(bundle),
        ),
        dataset.labels[dataset.rows("val")],
        temperature=spec.temperature,
        merge=params.merge,
        limit=params.max_views,
    )
    return [views[index] for index in chosen]


def predict_views(
    bundle: Bundle, dataset: Dataset, views: Sequence[View], batch_size: int
) -> Mapping[str, np.ndarray]:
    """Return the logits of the test split by the `repr` of each view: float32 `(n, classes)`.

    A view that appears twice is computed once.
    """
    different = {repr(view): view for view in views}
    logits = predict_split(
        bundle, dataset, "test", batch_size=batch_size, views=list(different.values())
    )
    return dict(zip(different, logits, strict=True))


def write_tta_report(results: Path, before: Answers, after: Answers) -> None:
    """Write metrics, predictions and classes of the merged views to `results`."""
    # Named apart from those of evaluate, since `dvc exp show` shows both in one row.
    metrics = {"tta_accuracy": float(after.right.mean())}
    table = compare_classes(before, after)
    recalls = {name: table[name].to_numpy() for name in ("before", "after")}
    write_report(results, after, metrics, table, recalls)


def tta_policy(views: Sequence[View], params: TtaParams, model: str) -> TtaPolicy:
    """Return the policy for prediction and serving, which is the centre crop for random views.

    Random views depend on an image's row in the data set, so that they cannot be served. `model` is
    the digest of the model that the views are for (`Bundle.digest`).
    """
    names = [view.name for view in views]
    if params.search == "none" and params.random_views:
        names = [CENTRE]
    return TtaPolicy(views=names, merge=params.merge, model=model)


def measure_latency(bundle: Bundle, evaluation: TtaEvaluation, batch_size: int) -> dict[str, float]:
    """Return the milliseconds per image: of the centre crop, then of all views, uncached."""
    rows = evaluation.after.rows[: min(batch_size, _TIMED_IMAGES)]
    dataset = evaluation.after.dataset
    before, after = (
        milliseconds_per_image(bundle.model, dataset.images, rows, views)
        for views in ([evaluation.centre], evaluation.views)
    )
    return {"milliseconds_per_image_before": before, "milliseconds_per_image": after}


def describe_tta(
    evaluation: TtaEvaluation, policy: TtaPolicy, latency: dict[str, float]
) -> list[str]:
    """Describe the verdict and the latency (`measure_latency`), in lines for the console."""
    lines = [evaluation.verdict]
    if policy.views != [view.name for view in evaluation.views]:
        lines.append("random views cannot be served: tta.json names the centre crop alone")
    before, after = latency.values()
    lines.append(f"milliseconds per image: {before:.3f} before, {after:.3f} with these views")
    return lines
