"""Review doubtful labels on a local page; decisions go to data/corrections.csv.

classifier review                                # opens http://127.0.0.1:8001
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from classifier.commands.shared.options import needs_extra, positive, whole
from classifier.commands.shared.parser import CommandParser
from classifier.commands.shared.up_to_date import note_outdated
from classifier.core.text import counted

if TYPE_CHECKING:
    import numpy as np

    from classifier.data.dataset import Dataset
    from classifier.evaluation.labels.review import Case
    from classifier.models.bundle import Bundle
    from classifier.serving.review import Review, ReviewCase, Shown

DATA, MODELS = Path("data/split"), Path("models")
DUPLICATES, CORRECTIONS = Path("results/split/duplicates.csv"), Path("data/corrections.csv")


def main(arguments: list[str]) -> None:
    """Find doubtful labels and serve the page until it is stopped.

    Raises UserError where the extra `serve` is missing, or there is no trained model.
    """
    options = _parser().parse_args(arguments)
    note_outdated("train")
    with needs_extra("serve"):
        from classifier.serving.review import HOST, review_server  # noqa: PLC0415
        from classifier.serving.server import serve_on  # noqa: PLC0415
    review = find_review(options.count)
    if not review.cases:
        print("No label is in doubt, and no duplicate contradicts another.")
        return
    print(f"{counted(len(review.cases), 'image')} to decide about; decisions go to {CORRECTIONS}")
    serve_on(review_server(review), HOST, options.port)


def find_review(count: int | None) -> "Review":
    """Return the first `count` images to decide about, or all, without those decided before."""
    # PyTorch and pandas are slow to import, which --help need not wait for.
    from classifier.evaluation.labels.label_errors import (  # noqa: PLC0415
        describe_unjudged,
        held_out_probabilities,
        label_features,
    )
    from classifier.evaluation.labels.review import read_duplicates, review_cases  # noqa: PLC0415
    from classifier.models.devices import choose_device, prepare_pytorch  # noqa: PLC0415
    from classifier.models.prediction import load_trained  # noqa: PLC0415
    from classifier.serving.review import Review  # noqa: PLC0415
    from classifier.sources.corrections import read_corrections  # noqa: PLC0415

    prepare_pytorch()
    bundle, dataset = load_trained(MODELS, DATA, choose_device())
    features = label_features(bundle, dataset)
    given = held_out_probabilities(features, dataset)
    if (line := describe_unjudged(dataset)) is not None:
        print(line)
    cases = review_cases(dataset, features, given, read_duplicates(DUPLICATES))
    # Digits of a hash may be written in capitals.
    decided = {one.path for one in read_corrections(CORRECTIONS)}
    decided |= {path.lower() for path in decided if path.startswith("sha256:")}
    paths = dataset.manifest["path"].tolist()
    digests = [f"sha256:{digest}" for digest in dataset.manifest["sha256"]]
    open_cases = [case for case in cases if not {paths[case.row], digests[case.row]} & decided]
    chosen = open_cases[:count]
    return Review(
        dataset.classes,
        {case.row: _shown_case(dataset, case) for case in chosen},
        lambda row: dataset.images[row],
        _heat_map(bundle, dataset, {case.row: case.suggested for case in chosen}),
        CORRECTIONS,
    )


def _shown(dataset: "Dataset", row: int) -> "Shown":
    from classifier.serving.review import Shown  # noqa: PLC0415

    entry = dataset.manifest.iloc[row]
    return Shown(row=row, path=entry["path"], label=entry["class"], split=entry["split"])


def _shown_case(dataset: "Dataset", case: "Case") -> "ReviewCase":
    from classifier.serving.review import ReviewCase  # noqa: PLC0415

    return ReviewCase(
        **_shown(dataset, case.row).model_dump(),
        reason=case.reason,
        suggested=dataset.classes[case.suggested],
        confidence=case.confidence,
        nearest=[_shown(dataset, row) for row in case.nearest],
        similar=[_shown(dataset, row) for row in case.similar],
    )


def _heat_map(
    bundle: "Bundle", dataset: "Dataset", suggested: dict[int, int]
) -> "Callable[[int], np.ndarray] | None":
    """Return a function from a row to its image with a heat map; None if the network has none."""
    import numpy as np  # noqa: PLC0415

    from classifier.evaluation.grad_cam import heat_maps  # noqa: PLC0415
    from classifier.inference.occlusion import blend  # noqa: PLC0415
    from classifier.processing.images import center_crop  # noqa: PLC0415

    def draw(row: int) -> np.ndarray | None:
        # A copy: the data set is mapped into memory to be read alone.
        image = np.array(center_crop(dataset.images[row : row + 1], bundle.spec.input_size))
        heat = heat_maps(bundle, image, np.array([suggested[row]]))
        return None if heat is None else blend(image, heat)[0]

    if not suggested or draw(next(iter(suggested))) is None:
        return None

    def drawn(row: int) -> np.ndarray:
        pixels = draw(row)
        assert pixels is not None
        return pixels

    return drawn


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="classifier review",
        description="Review label errors, contradictions and leaks on a local page.",
        epilog="Decisions are appended to data/corrections.csv; then run `dvc repro`.",
    )
    parser.add_argument(
        "--port",
        type=whole(0, 65535),
        default=8001,
        metavar="N",
        help="the port to listen on; 0 for a free one (default: %(default)s)",
    )
    parser.add_argument(
        "--count", type=positive, metavar="N", help="number of images to show (default: all)"
    )
    return parser
