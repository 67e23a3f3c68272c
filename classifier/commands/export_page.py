"""Write a folder of static files that classifies images in the browser.

    classifier export-page page
    python -m http.server --directory page

Any web server can serve the folder; no image leaves the browser. The files of ONNX Runtime are
taken from the npm package onnxruntime-web, which npm fetches unless --runtime names it.
"""

import shlex

from classifier.commands.shared.options import add_models_option, file_path
from classifier.commands.shared.parser import CommandParser
from classifier.processing.similar_images import SIMILAR_SHEET
from classifier.static_page.web_runtime import PACKAGE, VERSION, runtime_files
from classifier.static_page.write_page import write_page


def main(arguments: list[str]) -> None:
    """Write the page and print how to look at it."""
    parser = CommandParser(
        prog="classifier export-page",
        description="Write a folder of static files that classifies images in the browser.",
    )
    add = parser.add_argument
    add(
        "folder",
        type=file_path,
        metavar="FOLDER",
        help="the folder to write, new or of an earlier page",
    )
    add_models_option(parser)
    add("--int8", action="store_true", help="take the eight-bit file, which is smaller")
    add(
        "--runtime",
        type=file_path,
        metavar="PACKAGE",
        help=f"the npm package {PACKAGE} {VERSION}, a .tgz file or a folder (default: npm gets it)",
    )
    options = parser.parse_args(arguments)
    size = write_page(
        options.folder, options.models, runtime_files(options.runtime), int8=options.int8
    )
    shown = (options.folder / SIMILAR_SHEET).exists()
    found = " with thumbnails of training images (export.similar_images)" if shown else ""
    print(f"{options.folder}: {size / 1e6:.1f} MB{found}. To look at it:")
    print(f"python -m http.server --directory {shlex.quote(str(options.folder))}")
