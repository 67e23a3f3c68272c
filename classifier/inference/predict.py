"""Use a trained model in your own program.

    from classifier.inference.predict import load_model

    model = load_model("models")
    answer = model.predict("photo.jpg")
    print(answer.label, answer.probability)

This runs the exported ONNX file and does not import PyTorch. `runtime="openvino"` runs that file
with OpenVINO, `runtime="cuda"` on an NVIDIA GPU, and `runtime="torch"` the trained weights.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast, overload

import numpy as np
from pydantic import ValidationError

from classifier.core.errors import UserError, first_line
from classifier.inference.answer import Answer
from classifier.inference.cuda_runtime import load_cuda
from classifier.inference.image_inputs import ImageInput, decode_input
from classifier.inference.manifest import export_folder, read_exported, read_manifest
from classifier.inference.model_folder import check_folder, exported_rules, trained_rules
from classifier.inference.onnx_runtime import INT8_FILE, ONNX_FILE, Outputs, Predictor, load_onnx
from classifier.inference.openvino_runtime import load_openvino
from classifier.inference.thresholds import with_thresholds
from classifier.processing.decision import Decision, check_class_count
from classifier.processing.images import DecodedImage, read_image
from classifier.processing.similar_images import SIMILAR, SimilarImage, SimilarImages
from classifier.processing.softmax import Merge, mean_of_views, merge_views
from classifier.processing.spec import DESCRIPTION, BundleSpec
from classifier.processing.travelling import first_problem, parse_travelling
from classifier.processing.views import View, named_view

ExportedRuntime = Literal["onnx", "openvino", "cuda"]
Runtime = ExportedRuntime | Literal["torch"]
# By the name of what runs an exported file.
LOADERS: dict[ExportedRuntime, Callable[[bytes, int], Predictor]] = {
    "onnx": load_onnx,
    "openvino": load_openvino,
    "cuda": load_cuda,
}
_AT_ONCE = 16  # images of a list in memory


@dataclass(frozen=True)
class Model:
    """A trained model that is ready to answer; threads may share it.

    Attributes:
        spec: what has to be known of the model besides its weights.
        predictor: images uint8 `(N, input_size, input_size, 3)` → what the network gives.
        version: 12 digits that tell one trained model, in its format, from another.
        views: what the model is shown of each image.
        merge: how the views are merged, see `merge_views`.
        decision: see `Answer`.
        similar: training images that travel with it; None without.
    """

    spec: BundleSpec
    predictor: Predictor
    version: str
    views: Sequence[View]
    merge: Merge
    decision: Decision
    similar: SimilarImages | None = None

    @overload
    def predict(self, image: ImageInput) -> Answer: ...

    @overload
    def predict(self, image: Sequence[ImageInput]) -> list[Answer]: ...

    def predict(self, image: ImageInput | Sequence[ImageInput]) -> Answer | list[Answer]:
        """Return the answer for an image, or the answers for a list of images.

        Args:
            image: a path, the bytes of a file, a file that is open in binary mode, a PIL image, an
                array of uint8, `(H, W, 3)` in RGB or `(H, W)` in grey; or a list of these.

        Raises:
            UserError: where it is no image that can be read.
            OSError: where there is no file.
        """
        if isinstance(image, list | tuple):
            return list(self._predict_all(image))
        pixels = decode_input(cast("ImageInput", image), self.spec.preprocessing).pixels
        return self.answers(pixels[np.newaxis])[0]

    def _predict_all(self, images: Sequence[ImageInput]) -> Iterator[Answer]:
        """Yield the answers for images, a few of which are in memory at once."""
        for first in range(0, len(images), _AT_ONCE):
            pixels: list[np.ndarray] = []
            for number, image in enumerate(images[first : first + _AT_ONCE], start=first):
                try:
                    pixels.append(decode_input(image, self.spec.preprocessing).pixels)
                except UserError as error:
                    raise UserError(f"image {number} of the list: {error}") from error
            yield from self.answers(np.stack(pixels))

    def read(
        self,
        content: Path | bytes,
        max_pixels: int | None = None,
        admit: Callable[[int], None] | None = None,
    ) -> DecodedImage:
        """Decode an image as training stored them; raise as `predict` does.

        Args:
            content: path or bytes of the file.
            max_pixels: a limit below that of the model.
            admit: see `read_image`.
        """
        preprocessing = self.spec.preprocessing
        limit = min(max_pixels or preprocessing.max_pixels, preprocessing.max_pixels)
        return read_image(content, replace(preprocessing, max_pixels=limit), admit)

    def decode(
        self,
        content: Path | bytes,
        max_pixels: int | None = None,
        admit: Callable[[int], None] | None = None,
    ) -> np.ndarray:
        """Return the pixels that `read` decodes: uint8 `(S, S, 3)`."""
        return self.read(content, max_pixels, admit).pixels

    def answers(self, images: np.ndarray) -> list[Answer]:
        """Return the answers for decoded images, uint8 `(N, S, S, 3)`.

        Outside score and similarities of several views are the mean of theirs.
        """
        rows = np.arange(len(images))
        shown = (np.ascontiguousarray(view(images, rows)) for view in self.views)
        given = [self.predictor(seen) for seen in shown]
        logits = np.stack([outputs.logits for outputs in given])
        merged = merge_views(logits, self.spec.temperature, self.merge)
        scores = mean_of_views([outputs.outside for outputs in given])
        outside = [None] * len(images) if scores is None else scores.tolist()
        similarities = mean_of_views([outputs.similarity for outputs in given])
        similar: list[Sequence[SimilarImage]] = [()] * len(images)
        if self.similar is not None and similarities is not None:
            similar = [self.similar.most_similar(row, self.spec.classes) for row in similarities]
        return [
            Answer(self.spec.classes, row, self.decision, score, alike, len(self.views))
            for row, score, alike in zip(merged, outside, similar, strict=True)
        ]


def load_model(
    folder: str | Path = "models",
    *,
    runtime: Runtime = "onnx",
    int8: bool = False,
    tta: bool = False,
    reject_below: float | None = None,
    outside_above: float | None = None,
    threads: int = 0,
) -> Model:
    """Load a trained model.

    Args:
        folder: what the pipeline left in `models`, or an export folder (`models/export`) that was
            copied to anywhere.
        runtime: `onnx` runs `model.onnx` of the export folder, `openvino` the same file with
            OpenVINO, `cuda` the same file on an NVIDIA GPU, and `torch` the weights in `models`, on
            the GPU where there is one, without similar training images.
        int8: run `model.int8.onnx` instead.
        tta: average over the views that `tta.json` of the export folder names.
        reject_below: confidence, 0 to 1, under which the answer is `unknown`; None is what
            `decision.json` of the export folder says, 0 answers whatever the confidence is.
        outside_above: outside score above which the answer is `unknown`; None is what
            `decision.json` says, infinity refuses no image for its score.
        threads: of one call of the runtime; 0 leaves it to the runtime.

    Raises:
        UserError: where a file is missing or damaged, where the export is of another model than the
            one beside it, or where the model cannot do what is asked for.
    """
    folder = Path(folder)
    similar: SimilarImages | None = None
    check_folder(folder)
    if runtime == "torch":
        if int8:
            raise UserError("there is no int8 file for the runtime torch: take onnx or openvino.")
        # PyTorch is heavy, and of use only here.
        from classifier.inference.torch_runtime import load_weights  # noqa: PLC0415

        spec, predictor, digest = load_weights(folder, threads)
        decision, policy = trained_rules(folder, digest, tta=tta)
    else:
        export = export_folder(folder)
        file = INT8_FILE if int8 else ONNX_FILE
        spec, predictor, digest = _load_export(export, file, runtime, threads)
        decision, policy = exported_rules(folder, export, tta=tta)
        if SIMILAR in read_manifest(export):
            content = read_exported(export, SIMILAR)
            similar = parse_travelling(content, SimilarImages, SIMILAR, "export")
    outputs = _checked_outputs(folder, spec, predictor, similar)
    check_class_count(decision, len(spec.classes))
    has_scores = outputs.outside is not None
    decision = with_thresholds(decision, reject_below, outside_above, has_scores=has_scores)
    views = [named_view(name, spec.stored_size, spec.input_size) for name in policy.views]
    return Model(spec, predictor, digest[:12], views, policy.merge, decision, similar)


def _load_export(
    export: Path, file: str, runtime: ExportedRuntime, threads: int
) -> tuple[BundleSpec, Predictor, str]:
    entries = read_manifest(export)
    if file == INT8_FILE and file not in entries:
        raise UserError(
            f"{export} has no {file}: the export stage found none that is good enough (see "
            "results/export/int8_attempts.csv); use the float model."
        )
    try:
        spec = BundleSpec.model_validate_json(read_exported(export, DESCRIPTION))
    except ValidationError as error:
        raise UserError(
            f"{export / DESCRIPTION} describes no model of this version of the program "
            f"({first_problem(error)}): run the export stage again."
        ) from None
    if runtime not in LOADERS:
        raise UserError(f"runtime is {runtime!r}: choose one of {', '.join(LOADERS)} and torch.")
    predictor = LOADERS[runtime](read_exported(export, file), threads)
    return spec, predictor, entries[file].sha256


def _checked_outputs(
    folder: Path, spec: BundleSpec, predictor: Predictor, similar: SimilarImages | None
) -> Outputs:
    """Show the network two images; raise UserError where its outputs are not those described."""
    side, classes = spec.input_size, len(spec.classes)
    try:
        outputs = predictor(np.zeros((2, side, side, 3), np.uint8))
    # Each runtime has errors of its own for an image of another size.
    except Exception as error:
        reason = first_line(error)
        raise UserError(
            f"the network in {folder} takes no images of {side} pixels, as {DESCRIPTION} says "
            f"({reason}): run the export stage again, or `dvc checkout`."
        ) from error
    if outputs.logits.shape != (2, classes):
        raise UserError(
            f"the network in {folder} has {outputs.logits.shape[-1]} outputs, but {DESCRIPTION} "
            f"names {classes} classes: run the export stage again, or `dvc checkout`."
        )
    if similar is not None:
        similar.check(classes, outputs.similarity)
    return outputs
