"""Write the model as deployable files to `models/export`, each checked against the bundle."""

import time
from pathlib import Path

import numpy as np

from classifier.bundle import DESCRIPTION
from classifier.config import load_section
from classifier.devices import make_deterministic
from classifier.errors import UserError, run_program
from classifier.evaluation import load_trained
from classifier.export import FORMATS, Agreement, ExportParams, Predictor, compare
from classifier.files import write_bytes, write_json
from classifier.images import center_crop
from classifier.prediction import predict_logits
from classifier.runtime import write_timing
from classifier.views import named_view

DATA, MODELS, RESULTS = Path("data/split"), Path("models"), Path("results/export")


def main() -> None:
    started = time.perf_counter()
    params = load_section("export", ExportParams)
    make_deterministic()
    bundle, dataset = load_trained(MODELS, DATA)
    spec, rows = bundle.spec, dataset.rows("test")
    identity = named_view("identity", spec.image_size, spec.crop)
    expected = predict_logits(
        bundle.model, dataset.images, rows, [identity], batch_size=params.batch_size
    )[0]
    batches = np.array_split(rows, -(-len(rows) // params.batch_size))
    files: dict[str, bytes] = {}
    metrics: dict[str, float] = {}
    speeds: dict[str, float] = {}
    for form in FORMATS:
        content = form.write(bundle.model, spec.crop)
        begun = time.perf_counter()
        logits = run(form.load(content), dataset.images, batches, spec.crop)
        speed = len(rows) / (time.perf_counter() - begun)
        agreement = compare(logits, expected, dataset.labels[rows])
        print(f"{form.file}: {agreement}, {len(content) / 1e6:.1f} MB")
        check(form.file, agreement, params.max_logit_difference)
        files[form.file] = content
        speeds[f"{form.name}_images_per_second"] = round(speed, 1)
        metrics |= {f"{form.name}_{name}": value for name, value in agreement._asdict().items()}
        metrics[f"{form.name}_megabytes"] = len(content) / 1e6
    for name, content in files.items():
        write_bytes(MODELS / "export" / name, content)
    # The description travels along: classes, preprocessing, temperature.
    write_bytes(MODELS / "export" / DESCRIPTION, (MODELS / DESCRIPTION).read_bytes())
    write_json(RESULTS / "metrics.json", {key: round(value, 8) for key, value in metrics.items()})
    write_timing("export", started, **speeds)


def run(predict: Predictor, images: np.ndarray, batches: list[np.ndarray], crop: int) -> np.ndarray:
    """Logits float32 `(n, classes)` of the pictures whose rows the batches hold."""
    return np.concatenate([predict(center_crop(images[rows], crop)) for rows in batches])


def check(file: str, agreement: Agreement, limit: float) -> None:
    """Raise UserError where the file's logits differ by more than `limit`, or are not numbers."""
    if not agreement.max_logit_difference <= limit:
        raise UserError(
            f"{file} differs from the PyTorch model by {agreement.max_logit_difference:.3g} in a "
            f"logit; export.max_logit_difference allows {limit:g}: raise it only if that is "
            "harmless."
        )


if __name__ == "__main__":
    run_program(main)
