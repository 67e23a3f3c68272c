"""Write a folder of static files that classifies images in the browser, without a server's help."""

from pathlib import Path
from typing import Any

from classifier.core.errors import UserError
from classifier.core.files import json_bytes, write_bytes
from classifier.inference.manifest import export_folder, read_exported
from classifier.inference.onnx_runtime import INT8_FILE, ONNX_FILE
from classifier.inference.predict import Model, load_model
from classifier.processing.similar_images import SIMILAR_SHEET

CONFIG, NETWORK = "config.json", "model.onnx"
# Written first, it says that the folder is that of a page, also of one that is not complete.
_MARKER = ".classifier-page"
_FILES = Path(__file__).parent / "files"


def write_page(folder: Path, models: Path, runtime: dict[str, bytes], *, int8: bool) -> int:
    """Write the page; return its size in bytes.

    Args:
        folder: the page's folder; an earlier page is replaced.
        models: what the pipeline left in `models`, or an export folder.
        runtime: the files of ONNX Runtime for browsers, by name.
        int8: take the eight-bit network.

    Raises:
        UserError: as `load_model` does; and where the folder holds something else than a page.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is no folder: name a new one.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / _MARKER).exists():
        raise UserError(f"{folder} holds other files than those of a page: name a new folder.")
    model = load_model(models, int8=int8, threads=1)
    network = read_exported(export_folder(models), INT8_FILE if int8 else ONNX_FILE)
    contents = {path.name: path.read_bytes() for path in sorted(_FILES.iterdir())} | runtime
    contents |= {NETWORK: network, CONFIG: json_bytes(page_config(model))}
    if model.similar is not None:
        contents[SIMILAR_SHEET] = read_exported(export_folder(models), SIMILAR_SHEET)
    (folder / SIMILAR_SHEET).unlink(missing_ok=True)
    write_bytes(folder / _MARKER, b"")
    for name, content in contents.items():
        write_bytes(folder / name, content)
    return sum(map(len, contents.values()))


def page_config(model: Model) -> dict[str, Any]:
    """Return what the page has to know of the model besides its weights."""
    spec = model.spec
    return {
        "model": model.version,
        "classes": spec.classes,
        "stored_size": spec.stored_size,
        "resize": spec.resize,
        "max_pixels": spec.max_pixels,
        "input_size": spec.input_size,
        "temperature": spec.temperature,
        "decision": model.decision.model_dump(mode="json"),
        "similar": None if model.similar is None else model.similar.model_dump(mode="json"),
    }
