"""Write images and suggested classes as tasks that Label Studio imports.

The formats are described in https://labelstud.io/guide/tasks and
https://labelstud.io/guide/predictions. Its exports as CSV or JSON-MIN are tables of labels for
`download.labels`, with `path: image` and `class: class`.
"""

import urllib.parse
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from xml.etree import ElementTree

# Names of the parts of the labelling page, which are the columns of the exports.
_IMAGE, _CLASS = "image", "class"
_MODEL = "classifier"


class Suggestion(NamedTuple):
    """A class that an image may be of.

    Attributes:
        path: Of the image, relative to the folder that Label Studio serves.
        class_name: The suggested class.
        confidence: Probability of the class, 0 to 1.
    """

    path: str
    class_name: str
    confidence: float


def label_studio_tasks(suggestions: Iterable[Suggestion], prefix: str = "") -> list[dict[str, Any]]:
    """Return the tasks, each an image with the suggestion as a prediction.

    Args:
        suggestions: In the order in which the images are to be labelled.
        prefix: Path of the images' folder below the folder that Label Studio serves (its setting
            LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT).
    """
    start = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
    return [
        {
            "data": {_IMAGE: f"/data/local-files/?d={urllib.parse.quote(start + one.path)}"},
            "predictions": [
                {
                    "model_version": _MODEL,
                    "score": round(float(one.confidence), 4),
                    "result": [
                        {
                            "from_name": _CLASS,
                            "to_name": _IMAGE,
                            "type": "choices",
                            "value": {"choices": [one.class_name]},
                        }
                    ],
                }
            ],
        }
        for one in suggestions
    ]


def labelling_page(classes: Sequence[str]) -> str:
    """Return the labelling configuration of a project with these classes, as XML."""
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Image", name=_IMAGE, value=f"${_IMAGE}")
    choices = ElementTree.SubElement(view, "Choices", name=_CLASS, toName=_IMAGE, choice="single")
    for name in classes:
        ElementTree.SubElement(choices, "Choice", value=name)
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"
