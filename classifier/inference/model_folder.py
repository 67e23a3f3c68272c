"""The folder that a model is loaded from, and the rules and views that lie in it."""

from collections.abc import Sequence
from pathlib import Path

from classifier.core.errors import UserError
from classifier.inference.manifest import read_exported
from classifier.processing.decision import TTA_POLICY, Decision, TtaPolicy
from classifier.processing.made_for import check_made_for, model_digest, read_made_for
from classifier.processing.softmax import DECISION
from classifier.processing.spec import DESCRIPTION, WEIGHTS
from classifier.processing.travelling import parse_travelling
from classifier.processing.views import CENTRE

_ONE_VIEW = TtaPolicy(views=[CENTRE], merge="probabilities")


def check_folder(folder: Path) -> None:
    """Raise UserError where there is no such folder."""
    if folder.is_dir():
        return
    if folder.exists():
        raise UserError(f"{folder} is no folder: give the folder of the model, such as models.")
    if folder.is_absolute():
        raise UserError(f"there is no folder {folder}: correct the path of the model.")
    raise UserError(
        f"there is no folder {folder} in {Path.cwd()}, where you are: go to the folder of the "
        "project, or give the whole path of its models; in a new clone, run `dvc pull`, or "
        "`dvc repro`."
    )


def exported_rules(folder: Path, export: Path, *, tta: bool) -> tuple[Decision, TtaPolicy]:
    """Return the rules and the views of an export folder.

    Args:
        folder: the folder that the user has given.
        export: the export folder in it, or the same one.
        tta: whether more views than the centre are asked for.

    Raises:
        UserError: where a file is damaged, or is not of the model that lies beside the folder.
    """
    _check_not_stale(folder, export, [DESCRIPTION, DECISION, *([TTA_POLICY] if tta else [])])
    decision = parse_travelling(read_exported(export, DECISION), Decision, DECISION, "evaluate")
    is_beside = export != folder and all((folder / one).exists() for one in (DESCRIPTION, WEIGHTS))
    # Exports of earlier versions do not name their model.
    if decision.model is not None and is_beside:
        check_made_for(model_digest(folder), decision.model, export / DECISION, "export")
    if not tta:
        return decision, _ONE_VIEW
    content = read_exported(export, TTA_POLICY)
    return decision, parse_travelling(content, TtaPolicy, TTA_POLICY, "tta_evaluate")


def trained_rules(folder: Path, model: str, *, tta: bool) -> tuple[Decision, TtaPolicy]:
    """Return the rules and the views beside the weights in `folder`, whose digest is `model`.

    Raises:
        UserError: where a file is missing, damaged or of another model.
    """
    _, decision = read_made_for(model, folder / DECISION, Decision, "evaluate")
    if not tta:
        return decision, _ONE_VIEW
    return decision, read_made_for(model, folder / TTA_POLICY, TtaPolicy, "tta_evaluate")[1]


def _check_not_stale(folder: Path, export: Path, files: Sequence[str]) -> None:
    """Check that the files beside the export folder, where there are any, are those in it."""
    for file in files if export != folder else ():
        path = folder / file
        if path.exists() and path.read_bytes() != read_exported(export, file):
            raise UserError(
                f"{export} was made from another {file} than {path}: run the export stage "
                "(`dvc repro`), or `dvc checkout`."
            )
