"""Write the trained model as deployable files to one folder that works alone."""

from pathlib import Path

import numpy as np
import torch
from torch.onnx.errors import OnnxExporterError

from classifier.core.errors import UserError
from classifier.core.files import json_bytes, write_csv, write_json
from classifier.core.text import counted
from classifier.export.export_report import (
    Exported,
    LeftOut,
    attempts_table,
    export_metrics,
    formats_table,
)
from classifier.export.failure import why_not_written
from classifier.export.folder import read_travelling, write_export_folder
from classifier.export.formats import INT8_NAME, ONNX, chosen_formats, run_onnx
from classifier.export.int8_search import Int8Search, Search
from classifier.export.params import ExportParams, Int8Params
from classifier.export.reference import Reference, check_agreement
from classifier.export.reference_values import reference_content
from classifier.inference.golden import choose_golden
from classifier.inference.latency import measure_in_turn, seconds_in_turn
from classifier.inference.measures import REFERENCE
from classifier.inference.onnx_runtime import INT8_FILE, Predictor
from classifier.inference.torch_runtime import eager
from classifier.models.network_outputs import spread_rows
from classifier.processing.decision import Decision


def export_model(
    reference: Reference, params: ExportParams, models: Path, results: Path
) -> dict[str, float]:
    """Write each file, compare it with the model, and write the tables; return the latencies.

    Args:
        reference: the model and its data.
        params: section `export`.
        models: folder of the trained model; the files go to `export` in it.
        results: folder for `metrics.json` and tables.

    Raises:
        UserError: where a file differs too much from the model; nothing is written then.
    """
    travelling = read_travelling(models, reference.bundle.digest)
    outside_above = travelling.decision.outside_above
    exported, left_out = export_formats(reference, params, outside_above)
    search = search_int8(reference, exported[0], params.int8, travelling.decision)
    print(search.reason, flush=True)
    if search.chosen is not None:
        content = search.chosen.content
        predict = run_onnx(content)
        exported.append(reference.compare(INT8_NAME, INT8_FILE, content, predict, outside_above))
        print(exported[-1], flush=True)
    golden_rows = reference.dataset.rows("test")[choose_golden(reference.expected.logits)]
    golden = reference.dataset.images[golden_rows]
    others = travelling.files | {REFERENCE: json_bytes(reference_content(reference))}
    similar = reference.similar
    if similar is not None:
        others |= similar.files
        images = counted(len(similar.directions), "training image")
        print(f"The model takes {images} along, to show similar ones.", flush=True)
        travelling = travelling._replace(similar=len(similar.directions))
    travelling = travelling._replace(files=others)
    write_export_folder(models / "export", reference.bundle.spec, exported, golden, travelling)
    write_csv(results / "formats.csv", formats_table(exported, left_out))
    write_csv(results / "int8_attempts.csv", attempts_table(search))
    write_json(results / "metrics.json", export_metrics(exported))
    return measure_latencies(reference, exported, reference.images(golden_rows))


def export_formats(
    reference: Reference, params: ExportParams, outside_above: float | None = None
) -> tuple[list[Exported], list[LeftOut]]:
    """Write the formats of `export.formats`, ONNX first, and compare each with the model.

    A format that cannot hold this model is left out, but ONNX, which all others build on.

    Raises:
        UserError: where one differs by more than `export.max_logit_difference`, or needs an extra
            that is not installed, or ONNX cannot hold the model.
    """
    exported: list[Exported] = []
    left_out: list[LeftOut] = []
    for form in chosen_formats(params.formats):
        try:
            content = form.write(reference.network, reference.bundle.spec.input_size)
        except (UserError, OSError, MemoryError):
            raise
        except Exception as error:  # exporters raise errors of their own kinds
            reason = why_not_written(error)
            if form.name != ONNX.name:
                left_out.append(LeftOut(form.name, form.file, reason))
                print(left_out[-1], flush=True)
                continue
            if isinstance(error, OnnxExporterError):
                raise UserError(
                    f"{form.file} cannot be written ({reason}), and predict and serve need it: "
                    "choose another backbone.name. The trained model stays in models/."
                ) from error
            raise
        one = reference.compare(form.name, form.file, content, form.load(content), outside_above)
        print(one, flush=True)
        check_agreement(one, params.max_logit_difference, reference.spread)
        reference.check_similarity(one)
        exported.append(one)
    return exported, left_out


def search_int8(
    reference: Reference, onnx: Exported, params: Int8Params, decision: Decision
) -> Search:
    """Search for an eight-bit file, calibrated on images from all over the training split.

    A model that cannot be quantised has none, and keeps its other files.
    """

    def accuracy(predict: Predictor) -> float:
        return reference.validation_accuracy(predict, decision)

    images = reference.images(spread_rows(reference.dataset, params.calibration_images))

    def speedup(content: bytes) -> float:
        both = {"float": onnx.predict, "int8": run_onnx(content)}
        seconds = seconds_in_turn(both, images[:1])
        # The fastest calls are those that nothing else has slowed.
        return min(seconds["float"]) / min(seconds["int8"])

    threads = torch.get_num_threads()
    try:
        search = Int8Search(onnx.content, images, accuracy, threads)
    except (UserError, OSError, MemoryError):
        raise
    except Exception as error:  # onnx and ONNX Runtime raise errors of their own kinds
        reason = why_not_written(error)
        return Search([], None, f"No int8 file: the model cannot be quantised ({reason}).")
    return search.run(params, speedup)


def measure_latencies(
    reference: Reference, exported: list[Exported], images: np.ndarray
) -> dict[str, float]:
    """Print and return the latency and throughput of PyTorch and of every file, in turn."""
    predictors = {"pytorch": eager(reference.with_scores(reference.bundle.model))}
    predictors |= {one.name: one.predict for one in exported}
    speeds = measure_in_turn(predictors, images)
    for name, speed in speeds.items():
        print(
            f"{name}: latency {speed.milliseconds_p50:.2f} ms for one image, "
            f"{speed.images_per_second:.0f} images per second in batches of 32"
        )
    return {
        f"{name}_{key}": round(value, 3)
        for name, speed in speeds.items()
        for key, value in speed._asdict().items()
    }
