"""Validate every section of a params file, before hours of work are spent on it.

`classifier check`
"""

from pathlib import Path
from typing import Any

from classifier.commands.shared.dvc_files import check_dvc_files
from classifier.commands.shared.options import file_path
from classifier.commands.shared.parser import CommandParser
from classifier.commands.shared.repository import check_repository
from classifier.core.config import Params, load_section, read_params, validate_section
from classifier.core.errors import UserError
from classifier.evaluation.decisions.foreign import check_foreign
from classifier.evaluation.params import EvaluateParams, TtaParams
from classifier.export.params import ExportParams
from classifier.models.backbones.backbone_description import describe_backbone
from classifier.models.backbones.backbone_params import BackboneParams
from classifier.models.network import build_classifier, check_freeze, check_input_size
from classifier.sources.params import DownloadParams
from classifier.sources.presence import check_present
from classifier.sources.tracking import describe_untracked
from classifier.splitting.params import SplitParams
from classifier.training.params import RuntimeParams, TrainParams

SCHEMAS: dict[str, type[Params]] = {
    "download": DownloadParams,
    "split": SplitParams,
    "backbone": BackboneParams,
    "train": TrainParams,
    "evaluate": EvaluateParams,
    "tta_evaluate": TtaParams,
    "export": ExportParams,
    "runtime": RuntimeParams,
}


def main(arguments: list[str]) -> None:
    """Check the params files that are named, params.yaml where none is."""
    parser = CommandParser(
        prog="classifier check", description="Validate params.yaml before anything runs."
    )
    default = [Path("params.yaml")]
    parser.add_argument(
        "files",
        type=file_path,
        nargs="*",
        default=default,
        metavar="FILE",
        help="params files to check (default: params.yaml)",
    )
    paths = parser.parse_args(arguments).files
    check_repository()
    check_dvc_files()
    for path in paths:
        check_params(path)
        download = load_section("download", DownloadParams, path)
        check_present(download)
        evaluate = load_section("evaluate", EvaluateParams, path)
        check_foreign(evaluate)
        lines = describe_untracked(Path(download.watch), "download.url and download.watch")
        for line in [*lines, *describe_untracked(Path(evaluate.foreign), "evaluate.foreign")]:
            print(line)


def check_params(path: Path) -> None:
    """Raise UserError unless each section of the file is valid and the sections fit each other."""
    check_content(read_params(path), path)


def check_content(content: dict[str, Any], path: Path) -> None:
    """Raise UserError as `check_params` does; path names the file in the sentence."""
    sections = {
        name: validate_section(name, schema, content, path) for name, schema in SCHEMAS.items()
    }
    names = ("split", "backbone", "train", "tta_evaluate")
    split, chosen, train, tta = (sections[name] for name in names)
    assert isinstance(split, SplitParams)
    assert isinstance(chosen, BackboneParams)
    assert isinstance(train, TrainParams)
    assert isinstance(tta, TtaParams)
    if train.input_size is not None and train.input_size > split.stored_size:
        raise UserError(
            f"{path}: train.input_size is {train.input_size}, larger than split.stored_size, "
            f"{split.stored_size}: lower the one or raise the other."
        )
    input_size = train.input_size or split.stored_size
    train.augment.check_fit(input_size)
    backbone = describe_backbone(chosen)
    train.check_backbone(backbone)
    model = build_classifier(
        train.model,
        backbone,
        classes=2,
        input_size=input_size,
        mean=backbone.mean,
        std=backbone.std,
    )
    check_freeze(model, train.model)
    check_input_size(model, backbone.name, input_size)
    tta.check_fit(stored_size=split.stored_size, input_size=input_size, augment=train.augment)
