"""How far the pretrained network's own answer to an image is from its answers to each class.

The last layer of a pretrained network knows other classes, such as the thousand of ImageNet. It is
of no use for the answer, but says what else an image may show: liners are among its classes, even
where no class of the data set is one. The distance of its probabilities from their mean over the
training images of a class is KL matching (Hendrycks et al., "Scaling Out-of-Distribution Detection
for Real-World Settings", arXiv 1911.11132); there the network's classes are those of the data set.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import log_softmax

# Of more classes, those that the training images get most often take part.
_MOST_CLASSES = 1000
# Probabilities in a template are at least this, so that their logarithms are numbers.
_SMALLEST = 1e-12


class KlMatching(NamedTuple):
    """What the divergence is computed from.

    Attributes:
        weight: of the last layer, in steps of `scale`, int8 `(m, features)`. Rounded to them, it
            takes a quarter of the space, and changes no decision that a measurement could see.
        scale: size of a step in each row, float32 `(m,)`.
        bias: of the last layer, float32 `(m,)`.
        templates: logarithm of the mean probabilities of each class of the data set, float32
            `(classes, m)`.
    """

    weight: np.ndarray
    scale: np.ndarray
    bias: np.ndarray
    templates: np.ndarray

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Return the smallest divergence from a template, in nats: float64 `(n,)`.

        features: of the images, float `(n, features)`.
        """
        logs = self.log_probabilities(features)
        shares = np.exp(logs)
        return (shares * logs).sum(axis=1) - (shares @ self.templates.T).max(axis=1)

    def log_probabilities(self, features: np.ndarray) -> np.ndarray:
        """Return the logarithms of what the last layer gives: float64 `(n, m)`."""
        return log_softmax(features @ self.weight.T * self.scale + self.bias, axis=1)


def fit_matching(
    weight: np.ndarray, bias: np.ndarray, features: np.ndarray, labels: np.ndarray
) -> KlMatching:
    """Return the matching for these training images.

    Args:
        weight: of the pretrained network's last layer, float `(m, features)`, for m classes.
        bias: of the same, float `(m,)`.
        features: of the images, float `(n, features)`.
        labels: of the same images, int `(n,)`. A class without images has no template.
    """
    steps = np.abs(weight).max(axis=1) / 127
    scale = np.where(steps > 0, steps, 1.0).astype(np.float32)
    rounded = np.rint(weight / scale[:, None]).astype(np.int8)
    no_templates = np.zeros((0, len(weight)), np.float32)
    layer = KlMatching(rounded, scale, bias.astype(np.float32), no_templates)
    if len(weight) > _MOST_CLASSES:
        use = np.exp(layer.log_probabilities(features)).mean(axis=0)
        chosen = np.sort(np.argsort(-use, kind="stable")[:_MOST_CLASSES])
        weights, scales, biases = (part[chosen] for part in layer[:3])
        layer = KlMatching(weights, scales, biases, no_templates[:, chosen])
    shares = np.exp(layer.log_probabilities(features))
    means = np.stack([shares[labels == label].mean(axis=0) for label in np.unique(labels)])
    return layer._replace(templates=np.log(np.maximum(means, _SMALLEST)).astype(np.float32))
