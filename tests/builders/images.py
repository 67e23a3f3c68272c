"""Small real images and archives of them, as several tests need them; no torch."""

import gzip
import io
import lzma
import pickle
import struct
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from builders.sources import download_params
from classifier.core.files import sha256_of
from classifier.sources.acquire import acquire

KINDS = ("zip", "tar", "tar.gz", "tar.xz")


def noise(width: int, height: int, seed: int = 0) -> np.ndarray:
    """Pixels uint8 `(height, width, 3)`, each drawn by itself."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encode(image: Image.Image | np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    """The bytes of an image file."""
    opened = image if isinstance(image, Image.Image) else Image.fromarray(image)
    buffer = io.BytesIO()
    opened.save(buffer, kind, **options)
    return buffer.getvalue()


def packed_png(
    header: tuple[int, int, int, int], rows: list[bytes], transparent: bytes = b""
) -> bytes:
    """A PNG file of a kind that Pillow cannot write.

    header: width, height, bits and colour type. transparent: content of the chunk tRNS.
    """
    chunks = [
        (b"IHDR", struct.pack(">2L5B", *header, 0, 0, 0)),
        *([(b"tRNS", transparent)] if transparent else []),
        (b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))),
        (b"IEND", b""),
    ]
    packed = [
        struct.pack(">L", len(data)) + name + data + struct.pack(">L", zlib.crc32(name + data))
        for name, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def class_folders(sizes: dict[str, int], *, prefix: str = "", side: int = 8) -> dict[str, bytes]:
    """Names and contents of PNG images, all different, in a folder for each class."""
    names = [f"{prefix}{name}/{i:03d}.png" for name, size in sizes.items() for i in range(size)]
    return {name: encode(noise(side, side, zlib.crc32(name.encode()))) for name in names}


def write_archive(path: Path, members: dict[str, bytes]) -> Path:
    """An archive of the kind that the path's ending says."""
    if path.name.endswith(".zip"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return path
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    pack = {".gz": gzip.compress, ".xz": lzma.compress}.get(path.suffix, bytes)
    path.write_bytes(pack(buffer.getvalue()))
    return path


def write_raw(folder: Path, members: dict[str, bytes], source: str = "archive") -> Path:
    """What the download stage leaves in `folder` for an archive of these members."""
    with tempfile.TemporaryDirectory() as temporary:
        name = "data.tar.gz" if source == "cifar10" else "data.zip"
        file = write_archive(Path(temporary, name), members)
        checksum = f"sha256:{sha256_of(file)}"
        acquire(download_params(source=source, url=str(file), checksum=checksum), folder)
    return folder


CIFAR_CLASSES = ("airplane", "cat", "ship")


def cifar_batch(size: int, seed: int) -> dict[bytes, Any]:
    """A batch as CIFAR-10's, of noise: labels 0, 1, 2, 0, ..."""
    pixels = noise(3072 // 3, size, seed).reshape(size, 3072)
    return {
        b"batch_label": b"a batch",
        b"labels": [i % len(CIFAR_CLASSES) for i in range(size)],
        b"data": pixels,
        b"filenames": [f"{i}.png".encode() for i in range(size)],
    }


def cifar_members(*, train: int = 24, test: int = 9) -> dict[str, bytes]:
    """Members of an archive as CIFAR-10's, with two training batches of this size each."""
    meta = {b"label_names": [name.encode() for name in CIFAR_CLASSES], b"num_vis": 3072}
    contents: dict[str, dict[bytes, Any]] = {
        "data_batch_1": cifar_batch(train, 1),
        "test_batch": cifar_batch(test, 3),
        "batches.meta": meta,
        "data_batch_2": cifar_batch(train, 2),
    }
    return {
        f"cifar-10-batches-py/{name}": pickle.dumps(content, protocol=2)
        for name, content in contents.items()
    }
