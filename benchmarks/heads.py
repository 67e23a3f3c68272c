"""The three heads of a frozen backbone over five folds, with one view and with those served.

    python benchmarks/heads.py PROJECT
    python benchmarks/heads.py PROJECT --head logistic --change feature_views=[] --view flip

PROJECT is a folder with params.yaml, data/raw, data/split and data/backbone, such as one after
`classifier preset photos` and the stages up to backbone. Every image is tested once, by a head that
has not seen it nor its duplicates. Prints a line for each head: accuracy with the centre crop alone
and its 95% interval, accuracy with the views of section `tta_evaluate` averaged, and the processor
seconds of the five trainings from cached features. `--change` sets knobs of section `train`, and
`--view` adds a view to the centre crop in place of those of `tta_evaluate`.
"""

import argparse
import os
import time
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from knobs import changed, read_changes, trained

from classifier.core.config import load_section, read_params
from classifier.data.dataset import Dataset, load_dataset
from classifier.metrics.bootstrap import bootstrap
from classifier.metrics.temperature import fit_temperature
from classifier.models.devices import choose_device, prepare_pytorch
from classifier.models.prediction import predict_logits
from classifier.processing.softmax import merge_views
from classifier.processing.views import CENTRE, expand_views, named_view
from classifier.splitting.params import SplitParams
from classifier.sweep.cross_validation import split_of_fold
from classifier.training.params import TrainParams
from classifier.training.setup import learner, prepare

FOLDS = 5
# Without logistic regression, a head is trained as the preset did before it had that.
_TRAINED: dict[str, Any] = {
    "epochs": 30,
    "patience": 3,
    "batch_size": 32,
    "ema_decay": 0.98,
    "optimizer.name": "adam",
    "optimizer.lr": 0.001,
    "optimizer.weight_decay": 0.0,
    "lr_scheduler.name": "constant",
    "lr_scheduler.warmup_epochs": 0.0,
}
HEADS: dict[str, dict[str, Any]] = {
    "logistic": {"head": "logistic"},
    "linear": _TRAINED | {"head": "linear"},
    "mlp": _TRAINED | {"head": "mlp", "model.head.hidden": 256, "model.head.dropout": 0.4},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("project", type=Path)
    parser.add_argument("--head", action="append", choices=HEADS)
    parser.add_argument("--change", default="")
    parser.add_argument("--view", action="append")
    options = parser.parse_args()
    os.chdir(options.project)
    prepare_pytorch()
    dataset, params = load_dataset(Path("data/split")), read_params(Path("params.yaml"))
    served = expand_views(
        [CENTRE, *options.view] if options.view else params["tta_evaluate"]["views"]
    )
    for head in options.head or HEADS:
        texts = {name: str(value) for name, value in HEADS[head].items()}
        section = changed(params["train"], texts | read_changes(options.change), seed=0)
        print(f"{head},{options.change},{compare(dataset, section, served)}", flush=True)


def compare(dataset: Dataset, params: TrainParams, served: list[str]) -> str:
    """Return the accuracies of a head over all folds, as a line."""
    split = load_section("split", SplitParams)
    size = dataset.preprocessing.stored_size
    names = [CENTRE, *(name for name in served if name != CENTRE)]
    views = [named_view(name, size, params.input_size or size) for name in names]
    one, several = (np.zeros(len(dataset.images), np.int64) for _ in range(2))
    seconds = 0.0
    for fold in range(FOLDS):
        manifest = dataset.manifest.assign(split=split_of_fold(dataset, split, FOLDS, fold))
        part = Dataset(dataset.images, manifest, dataset.classes, dataset.preprocessing)
        with redirect_stdout(StringIO()):
            learner(prepare(params, part, choose_device()), params)  # features that are missing
            begun = time.process_time()
            model = trained(part, params).model
            seconds += time.process_time() - begun
        val, test = part.rows("val"), part.rows("test")
        (known,) = predict_logits(model, part.images, val, views[:1], batch_size=64)
        temperature = fit_temperature(known, part.labels[val])
        logits = predict_logits(model, part.images, test, views, batch_size=64)
        one[test] = logits[0].argmax(axis=1)
        several[test] = merge_views(logits, temperature, "probabilities").argmax(axis=1)
    accuracies = [f"{(given == dataset.labels).mean():.4f}" for given in (one, several)]
    interval = bootstrap(one, dataset.labels, len(dataset.classes))["accuracy"]
    return f"{accuracies[0]} ({interval}),{'+'.join(names)},{accuracies[1]},{seconds:.1f}"


if __name__ == "__main__":
    main()
