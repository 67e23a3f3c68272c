"""Write the model as deployable files to `models/export`, each checked against the bundle."""

import io
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from classifier.core.config import load_section
from classifier.core.errors import UserError
from classifier.core.files import json_bytes, write_bytes, write_csv, write_json
from classifier.core.processes import run_program
from classifier.core.timing import write_timing
from classifier.data.dataset import Dataset, Split
from classifier.evaluation.answers import load_trained
from classifier.export.export_report import (
    Exported,
    attempts_table,
    entries_of,
    export_metrics,
    formats_table,
    golden_answers,
)
from classifier.export.formats import INT8_NAME, ExportParams, compare, formats, run_onnx
from classifier.export.int8_search import Int8Params, Int8Search, Search
from classifier.inference.golden import EXPECTED, IMAGES, choose_golden
from classifier.inference.latency import measure_in_turn, seconds_in_turn
from classifier.inference.manifest import MANIFEST, manifest_content
from classifier.inference.onnx_runtime import INT8_FILE, Predictor
from classifier.inference.torch_runtime import eager
from classifier.models.bundle import Bundle
from classifier.models.devices import make_deterministic
from classifier.models.prediction import predict_logits
from classifier.processing.images import center_crop
from classifier.processing.spec import DESCRIPTION
from classifier.processing.views import named_view

DATA, MODELS, RESULTS = Path("data/split"), Path("models"), Path("results/export")
EXPORT = MODELS / "export"


@dataclass(frozen=True)
class Judge:
    """The trained model and its data: what every exported file is held against."""

    bundle: Bundle
    dataset: Dataset
    batch_size: int

    def images(self, rows: np.ndarray) -> np.ndarray:
        """What a model takes: uint8 `(n, input_size, input_size, 3)`."""
        return np.ascontiguousarray(
            center_crop(self.dataset.images[rows], self.bundle.spec.input_size)
        )

    def logits(self, predict: Predictor, split: Split) -> np.ndarray:
        """float32 `(n, classes)`, of the split's images in batches."""
        rows = self.dataset.rows(split)
        batches = np.array_split(rows, -(-len(rows) // self.batch_size))
        return np.concatenate([predict(self.images(batch)) for batch in batches])

    @cached_property
    def expected(self) -> np.ndarray:
        """The trained model's logits of the test split: float32 `(n, classes)`."""
        spec, rows = self.bundle.spec, self.dataset.rows("test")
        identity = named_view("identity", spec.stored_size, spec.input_size)
        return predict_logits(
            self.bundle.model, self.dataset.images, rows, [identity], batch_size=self.batch_size
        )[0]

    def measured(self, name: str, file: str, content: bytes, predict: Predictor) -> Exported:
        """The file with its agreement on the test split, of which a line is printed."""
        labels = self.dataset.labels[self.dataset.rows("test")]
        agreement = compare(self.logits(predict, "test"), self.expected, labels)
        print(f"{file}: {agreement}, {len(content) / 1e6:.1f} MB", flush=True)
        return Exported(name, file, content, predict, agreement)

    def validation_accuracy(self, predict: Predictor) -> float:
        labels = self.dataset.labels[self.dataset.rows("val")]
        return float(np.mean(self.logits(predict, "val").argmax(axis=1) == labels))


def main() -> None:
    started = time.perf_counter()
    params = load_section("export", ExportParams)
    make_deterministic()
    judge = Judge(*load_trained(MODELS, DATA), params.batch_size)
    exported: list[Exported] = []
    for form in formats(params):
        content = form.write(judge.bundle.model, judge.bundle.spec.input_size)
        one = judge.measured(form.name, form.file, content, form.load(content))
        check(one, params.max_logit_difference)
        exported.append(one)
    search = search_int8(judge, exported[0], params.int8)
    print(search.reason, flush=True)
    if search.chosen is not None:
        content = search.chosen.content
        exported.append(judge.measured(INT8_NAME, INT8_FILE, content, run_onnx(content)))
    golden = judge.images(judge.dataset.rows("test")[choose_golden(judge.expected)])
    write_export(judge, exported, golden)
    write_csv(RESULTS / "formats.csv", formats_table(exported))
    write_csv(RESULTS / "int8_attempts.csv", attempts_table(search))
    write_json(RESULTS / "metrics.json", export_metrics(exported, search))
    write_timing("export", started, **measure_speeds(judge, exported, golden))


def check(one: Exported, limit: float) -> None:
    """Raise UserError where the file's logits differ by more than `limit`, or are not numbers."""
    difference = one.agreement.max_logit_difference
    if not difference <= limit:
        raise UserError(
            f"{one.file} differs from the PyTorch model by {difference:.3g} in a "
            f"logit; export.max_logit_difference allows {limit:g}: raise it only if that is "
            "harmless."
        )


def search_int8(judge: Judge, onnx: Exported, params: Int8Params) -> Search:
    """Look for an eight-bit file, calibrated on images from all over the training split."""
    rows = judge.dataset.rows("train")
    count = min(params.calibration_images, len(rows))
    images = judge.images(rows[np.linspace(0, len(rows) - 1, count).astype(int)])

    def speedup(content: bytes) -> float:
        both = {"float": onnx.predict, "int8": run_onnx(content)}
        seconds = seconds_in_turn(both, images[:1])
        return float(np.median(seconds["float"]) / np.median(seconds["int8"]))

    threads = torch.get_num_threads()
    return Int8Search(onnx.content, images, judge.validation_accuracy, threads).run(params, speedup)


def write_export(judge: Judge, exported: list[Exported], golden: np.ndarray) -> None:
    """Write the models and what travels with them: description, golden images, manifest."""
    spec = judge.bundle.spec
    buffer = io.BytesIO()
    np.save(buffer, golden, allow_pickle=False)
    answers = golden_answers(exported, golden, spec.classes, spec.temperature)
    others = {
        DESCRIPTION: (MODELS / DESCRIPTION).read_bytes(),
        IMAGES: buffer.getvalue(),
        EXPECTED: json_bytes(answers),
    }
    entries = entries_of(exported, others, spec.input_size, len(spec.classes))
    files = {one.file: one.content for one in exported} | others
    files[MANIFEST] = json_bytes(manifest_content(entries))
    EXPORT.mkdir(parents=True, exist_ok=True)
    for path in EXPORT.iterdir():
        if path.name not in files:
            path.unlink()
    for name, content in files.items():
        write_bytes(EXPORT / name, content)


def measure_speeds(judge: Judge, exported: list[Exported], images: np.ndarray) -> dict[str, float]:
    """Milliseconds and images a second of PyTorch itself and of every file, in turn."""
    predictors = {"pytorch": eager(judge.bundle.model)}
    predictors |= {one.name: one.predict for one in exported}
    speeds = measure_in_turn(predictors, images)
    for name, speed in speeds.items():
        print(
            f"{name}: {speed.milliseconds_p50:.2f} ms for an image, "
            f"{speed.images_per_second:.0f} images a second in batches of 32"
        )
    return {
        f"{name}_{key}": round(value, 3)
        for name, speed in speeds.items()
        for key, value in speed._asdict().items()
    }


if __name__ == "__main__":
    run_program(main)
