"""Training images that travel with a network, so that an answer can show those most like an image.

`similar.json` names them, and `similar.jpg` holds their thumbnails, in rows of equal tiles. The
network gives the similarity of an image to each (`export.similar_images`).
"""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from classifier.core.errors import UserError
from classifier.processing.travelling import TravellingFile

SIMILAR, SIMILAR_SHEET = "similar.json", "similar.jpg"
# A sheet of so many thumbnails is as large as a browser shows with ease.
MAX_SIMILAR_IMAGES = 4000
# More of them would not help to judge an answer.
_SHOWN = 4
_DECIMALS = 6


class SimilarImage(NamedTuple):
    """A training image that is like an image.

    Attributes:
        path: of its file, in the folder of the training images.
        label: its class.
        similarity: cosine of the features, -1 to 1.
        tile: its place in `similar.jpg`, from 0 on, row by row.
    """

    path: str
    label: str
    similarity: float
    tile: int


class SimilarImages(TravellingFile):
    """`similar.json`: the training images, in the order of the network's similarities.

    Attributes:
        side: of a tile of `similar.jpg`, in pixels.
        columns: tiles in a row.
        paths: of their files, in the folder of the training images.
        labels: index of the class of each.
    """

    side: int = Field(gt=0, le=256)
    columns: int = Field(gt=0, le=MAX_SIMILAR_IMAGES)
    paths: list[str] = Field(min_length=1, max_length=MAX_SIMILAR_IMAGES)
    labels: list[int]

    @model_validator(mode="after")
    def _each_has_a_class(self) -> Self:
        if len(self.labels) != len(self.paths) or min(self.labels, default=0) < 0:
            raise ValueError("there is not a class for each path.")
        return self

    def check(self, classes: int, similarity: np.ndarray | None) -> None:
        """Check that they are those of a model.

        Args:
            classes: the number of its classes.
            similarity: what its network gives for two images; None where it gives none.

        Raises:
            UserError: where they are not, or a similarity is no number.
        """
        shape = None if similarity is None else similarity.shape
        finite = similarity is not None and np.isfinite(similarity).all()
        if max(self.labels) >= classes or shape != (2, len(self.paths)) or not finite:
            compares = 0 if not shape or len(shape) != 2 or not finite else shape[1]
            raise UserError(
                f"{SIMILAR} is not of this model: it names {len(self.paths)} training images, the "
                f"network compares with {compares}, and each must be of one of {classes} "
                "classes: run the export stage again, or `dvc checkout`."
            )

    def most_similar(self, similarity: np.ndarray, classes: Sequence[str]) -> list[SimilarImage]:
        """Return the training images that are most like an image, the most similar first.

        Args:
            similarity: to each of them, float `(m,)`.
            classes: names of the classes.
        """
        order: list[int] = np.argsort(-similarity, kind="stable")[:_SHOWN].tolist()
        return [
            SimilarImage(
                self.paths[tile],
                classes[self.labels[tile]],
                round(float(similarity[tile]), _DECIMALS),
                tile,
            )
            for tile in order
        ]
