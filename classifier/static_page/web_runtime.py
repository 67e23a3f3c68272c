"""Get the files of ONNX Runtime for browsers, of one version, whose hashes are pinned here.

They are in the npm package `onnxruntime-web` (MIT licence).
"""

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from classifier.core.errors import UserError, first_line

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
# SHA-256 of the files that a page needs; they lie in the package's folder dist.
RUNTIME_FILES = {
    "ort.wasm.bundle.min.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    "ort-wasm-simd-threaded.wasm": (
        "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2"
    ),
}


def runtime_files(package: Path | None) -> dict[str, bytes]:
    """Return the contents of RUNTIME_FILES by name.

    Args:
        package: the package as a file (.tgz) or as a folder, such as
            `node_modules/onnxruntime-web`; None lets npm fetch it.

    Raises:
        UserError: where npm is missing or fails, or where the files are others than expected.
    """
    if package is None:
        with tempfile.TemporaryDirectory() as folder:
            return runtime_files(_fetched(Path(folder)))
    if not package.exists():
        raise UserError(f"there is no {package}: correct --runtime.")
    contents = _from_folder(package) if package.is_dir() else _from_archive(package)
    for file, digest in RUNTIME_FILES.items():
        if hashlib.sha256(contents[file]).hexdigest() != digest:
            raise UserError(
                f"dist/{file} of {package} is not that of {PACKAGE} {VERSION}: give --runtime that "
                "version, or leave --runtime out."
            )
    return contents


def _fetched(folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise UserError(
            "npm is missing: install Node.js, or give --runtime the npm package "
            f"{PACKAGE} {VERSION}, as a .tgz file or a folder."
        )
    # From npm's own cache where it has the package, so that it is fetched once.
    command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--prefer-offline", "--ignore-scripts"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    archive = folder / f"{PACKAGE}-{VERSION}.tgz"
    if done.returncode != 0 or not archive.is_file():
        lines = done.stderr.strip().splitlines() or ["no reason is given"]
        raise UserError(
            f"npm cannot fetch {PACKAGE} {VERSION} ({lines[0]}): check the network, or give "
            "--runtime the package as a .tgz file or a folder."
        )
    return archive


def _from_folder(folder: Path) -> dict[str, bytes]:
    try:
        return {file: (folder / "dist" / file).read_bytes() for file in RUNTIME_FILES}
    except FileNotFoundError as error:
        raise UserError(f"there is no {error.filename}: correct --runtime.") from None


def _from_archive(path: Path) -> dict[str, bytes]:
    contents = {}
    try:
        with tarfile.open(path) as archive:
            for file in RUNTIME_FILES:
                member = archive.extractfile(f"package/dist/{file}")
                contents[file] = b"" if member is None else member.read()
    except (tarfile.TarError, KeyError, EOFError, OSError, RecursionError) as error:
        reason = first_line(error)
        raise UserError(
            f"{path} is not the npm package {PACKAGE} ({reason}): correct --runtime."
        ) from None
    return contents
