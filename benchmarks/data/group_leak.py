"""What a random split leaks where images come in groups: accuracy by random and by group split.

    python benchmarks/data/group_leak.py

Generates 30 patients of 2 classes with 20 images each: every patient has a background of its own,
and the class is a faint mark. The split stage divides them with and without
`split.group_by: [patient]`; a logistic regression on the pixels is trained on train and val, and
measured on test and on 60 patients that nobody has seen, which is what a user would get. Takes
some seconds.
"""

import io
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.linear_model import LogisticRegression

from classifier.core.config import load_section
from classifier.data.dataset import load_dataset
from classifier.sources import tables
from classifier.sources.acquire import acquire
from classifier.sources.params import DownloadParams
from classifier.splitting.params import SplitParams
from classifier.splitting.split import split

PARAMS = Path(__file__).parents[2] / "params.yaml"
SIDE, PATIENTS, UNSEEN, EACH, SEEDS = 16, 30, 60, 20, 5
CLASSES = ("healthy", "ill")


def main() -> None:
    print("| split | on its test split | on unseen patients |")
    print("| --- | --- | --- |")
    for name, group_by in (("random", []), ("by patient", ["patient"])):
        measured = np.array([measure(seed, group_by) for seed in range(SEEDS)])
        told = " | ".join(
            f"{column.mean():.3f} ({column.min():.3f} to {column.max():.3f})"
            for column in measured.T
        )
        print(f"| {name} | {told} |")


def measure(seed: int, group_by: list[str]) -> tuple[float, float]:
    """Return the accuracy on the test split and on unseen patients."""
    pixels, labels, patients = generate(seed, PATIENTS)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_raw(folder, pixels, labels, patients)
        params = load_section("split", SplitParams, PARAMS)
        changes = {"seed": seed, "stored_size": SIDE, "group_by": group_by}
        split(folder / "raw", folder / "split", params.model_copy(update=changes))
        dataset = load_dataset(folder / "split")
        images = np.asarray(dataset.images)[:, :, :, 0].reshape(len(dataset.labels), -1) / 255
        test = dataset.rows("test")
        known = np.setdiff1d(np.arange(len(images)), test)
        model = LogisticRegression(max_iter=2000).fit(images[known], dataset.labels[known])
        unseen, truth, _ = generate(1000 + seed, UNSEEN)
        return (
            float(model.score(images[test], dataset.labels[test])),
            float(model.score(unseen.reshape(len(unseen), -1) / 255, truth)),
        )


def generate(seed: int, patients: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return images uint8 `(n, SIDE, SIDE)`, their classes and their patients, int `(n,)`."""
    generator = np.random.default_rng(seed)
    owner = np.repeat(np.arange(patients), EACH)
    labels = owner % 2
    backgrounds = generator.normal(128, 25, (patients, SIDE, SIDE))[owner]
    noise = generator.normal(0, 20, (len(owner), SIDE, SIDE))
    mark = np.zeros((SIDE, SIDE))
    mark[6:10, 6:10] = 25
    images = backgrounds + noise + labels[:, None, None] * mark
    return np.clip(images, 0, 255).astype(np.uint8), labels, owner


def write_raw(folder: Path, pixels: np.ndarray, labels: np.ndarray, patients: np.ndarray) -> None:
    """Write what the download stage would, with a column of patients."""
    for number, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        path = folder / "images" / CLASSES[label] / f"{patients[number]:02d}_{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "PNG")
        path.write_bytes(buffer.getvalue())
    params = load_section("download", DownloadParams, PARAMS)
    source = {"source": "folder", "url": str(folder / "images"), "watch": str(folder / "images")}
    acquire(params.model_copy(update=source), folder / "raw")
    table = folder / "raw" / tables.LABELS
    owned = [
        image._replace(columns=(image.path.rpartition("/")[2][:2],))
        for image in tables.read_labels(table)
    ]
    tables.write_labels(table, owned, ["patient"])


if __name__ == "__main__":
    main()
