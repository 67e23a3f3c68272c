"""Choose the images of a folder that are most useful to label next.

BADGE (Ash et al., arXiv 1906.03671): an image stands for the gradient that it would give the last
layer if the model's own answer were right. The gradient is long where the model is unsure, and its
direction differs where the image does; k-means++ then chooses long gradients that are far apart.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from classifier.core.errors import UserError
from classifier.core.random import stream
from classifier.core.text import escape_name
from classifier.inference.image_files import (
    Found,
    decode,
    describe_search,
    read_images,
    search_folder,
)
from classifier.models.bundle import Bundle
from classifier.plotting.agg import Figure
from classifier.plotting.figures import image_sheet
from classifier.plotting.fonts import drawable_names
from classifier.plotting.short_names import short_names
from classifier.processing.images import DecodedImage, center_crop, model_input, read_image
from classifier.processing.softmax import probabilities

SHOWN = 30
_COLUMNS = 6
_BATCH = 32


class Unlabelled(NamedTuple):
    """Images without labels, and the model's answers.

    Attributes:
        paths: of the image files.
        features: of the backbone, float32 `(n, features)`.
        given: probabilities, float64 `(n, classes)`.
        unreadable: number of images and folders that cannot be read.
    """

    paths: list[Path]
    features: np.ndarray
    given: np.ndarray
    unreadable: int


def look_at(folder: Path, bundle: Bundle) -> Unlabelled:
    """Read the images below `folder`, sorted by path.

    Standard error names the images and folders that cannot be read, and says how many files were
    not used.

    Raises:
        UserError: where there is no folder, or no image in it that can be read.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}: name one that holds images.")
    search = search_folder(folder)
    sources = list(read_images(search))
    paths: list[Path] = []
    features, logits = [], []
    for start in tqdm(range(0, len(sources), _BATCH), "images", leave=False, disable=None):
        part = sources[start : start + _BATCH]
        read = [(Path(one.name), _read(one, folder, bundle)) for one in part]
        readable = [(path, pixels) for path, pixels in read if pixels is not None]
        if not readable:
            continue
        paths += [path for path, _ in readable]
        batch = torch.from_numpy(np.stack([pixels for _, pixels in readable]))
        with torch.no_grad():
            seen = bundle.model.features(batch.to(bundle.model.mean.device))
            features.append(seen.float().cpu().numpy())
            logits.append(bundle.model.head(seen).float().cpu().numpy())
    unreadable = len(sources) - len(paths)
    print(describe_search(search, len(paths), unreadable), file=sys.stderr)
    if not paths:
        raise UserError(f"no images that can be read lie below {folder}: name another folder.")
    given = probabilities(np.concatenate(logits), bundle.spec.temperature)
    return Unlabelled(paths, np.concatenate(features), given, unreadable)


def _read(found: Found, folder: Path, bundle: Bundle) -> np.ndarray | None:
    """Return the model input of an image; None, with a line on standard error, if there is none."""
    spec = bundle.spec
    image: DecodedImage | str
    if _is_utf8(str(Path(found.name).relative_to(folder))):
        image = decode(found, lambda content: read_image(content, spec.preprocessing))
    else:  # no table can name it, and the download stage would refuse it
        image = "its name is not UTF-8: rename the file."
    if isinstance(image, str):
        print(f"error: {escape_name(found.name)}: {image}", file=sys.stderr)
        return None
    for warning in image.warnings:
        print(f"warning: {escape_name(found.name)}: {warning}", file=sys.stderr)
    return center_crop(image.pixels, spec.input_size)


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def choose(features: np.ndarray, given: np.ndarray, number: int) -> np.ndarray:
    """Return the indices of the chosen images in their order: int64, at most `number`.

    The gradient of an image is the outer product of (probabilities - answer) and features; only its
    scalar products are needed. The longest is chosen first. Each further one is drawn with a
    probability proportional to its squared distance to the nearest of those that were chosen and of
    a zero gradient, which stands for images that teach nothing. The draws are always the same.

    Args:
        features: `(n, features)`.
        given: probabilities `(n, classes)`.
        number: how many images to choose.
    """
    errors = given.copy()
    errors[np.arange(len(given)), given.argmax(axis=1)] -= 1
    seen = features.astype(np.float64)
    lengths = (errors**2).sum(axis=1) * (seen**2).sum(axis=1)
    draws = stream("label next")
    chosen = [int(lengths.argmax())]
    distances = lengths.copy()
    while len(chosen) < min(number, len(given)):
        last = chosen[-1]
        product = (errors @ errors[last]) * (seen @ seen[last])
        distances = np.minimum(distances, np.maximum(lengths + lengths[last] - 2 * product, 0))
        distances[chosen] = 0
        if distances.sum() <= 0:
            break  # nothing that is left differs from what was chosen
        chosen.append(int(draws.choice(len(given), p=distances / distances.sum())))
    return np.array(chosen)


def ranking(pool: Unlabelled, folder: Path, classes: list[str], order: np.ndarray) -> pd.DataFrame:
    """Return `path` (below the folder), `predicted, confidence, margin` (to the second class)."""
    given = np.sort(pool.given[order], axis=1)
    return pd.DataFrame(
        {
            "path": [pool.paths[place].relative_to(folder).as_posix() for place in order],
            "predicted": [classes[label] for label in pool.given[order].argmax(axis=1)],
            "confidence": given[:, -1].round(4),
            "margin": (given[:, -1] - given[:, -2]).round(4),
        }
    )


def draw_chosen(pool: Unlabelled, bundle: Bundle, order: np.ndarray) -> Figure:
    """Draw the first SHOWN of the chosen images, each under the predicted class."""
    spec, shown = bundle.spec, order[:SHOWN]
    images = [
        model_input(pool.paths[place], spec.preprocessing, spec.input_size) for place in shown
    ]
    names = short_names(drawable_names(spec.classes), 16)
    captions = [f"{names[given.argmax()]} {given.max():.0%}" for given in pool.given[shown]]
    return image_sheet(images, captions, _COLUMNS, files=[pool.paths[i].name for i in shown])
