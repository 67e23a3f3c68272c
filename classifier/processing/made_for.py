"""The model that a decision was made for.

Stages that choose rules or views for a trained model write its digest beside them, so that no
answer mixes one model with the rules of another.
"""

import hashlib
from pathlib import Path
from typing import TypeVar

from classifier.core.errors import UserError
from classifier.core.files import sha256_of
from classifier.processing.decision import Chosen
from classifier.processing.spec import DESCRIPTION, WEIGHTS
from classifier.processing.travelling import parse_travelling

Content = TypeVar("Content", bound=Chosen)


def model_digest(folder: Path) -> str:
    """Return one SHA-256 of the description and the weights in `folder`.

    Raises:
        FileNotFoundError: where one of them is missing.
    """
    both = [sha256_of(folder / name) for name in (DESCRIPTION, WEIGHTS)]
    return hashlib.sha256(" ".join(both).encode()).hexdigest()


def check_made_for(model: str, named: str | None, path: Path, stage: str) -> None:
    """Raise UserError where a file was made for another model.

    Args:
        model: `model_digest` of the model that is used.
        named: the digest in the file; None in files of earlier versions.
        path: of the file.
        stage: that writes it.
    """
    if named != model:
        raise UserError(
            f"{path} was made for another model than this one: run the {stage} stage "
            "(`dvc repro`), or `dvc checkout`."
        )


def read_made_for(
    model: str, path: Path, schema: type[Content], stage: str
) -> tuple[bytes, Content]:
    """Read rules or views that lie beside the model; return the bytes and what they say.

    Args:
        model: `model_digest` of the model that is used.
        path: of the file.
        schema: what it must hold.
        stage: that writes it.

    Raises:
        UserError: where the file is missing, damaged, or was made for another model.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing: run the {stage} stage, or fetch it with `dvc pull`."
        ) from None
    parsed = parse_travelling(content, schema, str(path), stage)
    check_made_for(model, parsed.model, path, stage)
    return content, parsed
