"""Cases of bad input: archives."""

import io
import stat
import struct
import tarfile
import zipfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from builders.bad.inputs import IMAGE, PETS, Case, add_case, archive, members
from builders.images import write_archive

CASES: dict[str, Case] = {}
case = partial(add_case, CASES)


@case("download", "an absolute path in a zip")
def _(stack: ExitStack) -> None:
    members({"/etc/cat/a.png": IMAGE})


@case("download", "a path with `..` in a tar")
def _(stack: ExitStack) -> None:
    members({"cat/../../a.png": IMAGE}, "data.tar")


@case("download", "an archive of nothing but links")
def _(stack: ExitStack) -> None:
    def write(path: Path) -> None:
        with tarfile.open(path, "w") as content:
            for name in ("cat/a.png", "dog/a.png"):
                info = tarfile.TarInfo(name)
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
                content.addfile(info)

    archive(write, "data.tar")


@case("download", "an archive of nothing but devices")
def _(stack: ExitStack) -> None:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as content:
            device = zipfile.ZipInfo("cat/a.png")
            device.create_system, device.external_attr = 3, (stat.S_IFCHR | 0o666) << 16
            content.writestr(device, b"")

    archive(write)


@case("download", "a zip whose image unpacks to gigabytes (a bomb)")
def _(stack: ExitStack) -> None:
    def write(path: Path) -> None:
        write_archive(path, PETS)
        content = bytearray(path.read_bytes())
        # Bytes 24 to 28 of an entry in the table of contents: the size when unpacked.
        struct.pack_into("<L", content, content.index(b"PK\x01\x02") + 24, 4_000_000_000)
        path.write_bytes(content)

    archive(write)


@case("download", "a tar whose image unpacks to gigabytes (a bomb)")
def _(stack: ExitStack) -> None:
    def write(path: Path) -> None:
        info = tarfile.TarInfo("cat/a.png")
        info.size = 1_000_000_000
        classes = write_archive(path, PETS).read_bytes()
        with path.open("wb") as file:
            file.write(info.tobuf())
            file.seek(512 + info.size)  # a hole: it takes no room
            file.write(classes)

    archive(write, "data.tar")


@case("download", "a tar with a name of megabytes (a bomb)")
def _(stack: ExitStack) -> None:
    def write(path: Path) -> None:
        info = tarfile.TarInfo("././@LongLink")
        info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1 << 30
        path.write_bytes(info.tobuf())

    archive(write, "data.tar")


@case("download", "an archive with a password")
def _(stack: ExitStack) -> None:
    def write(path: Path) -> None:
        write_archive(path, PETS)
        content = path.read_bytes()
        # The lowest of the flags says so, in each entry of the table of contents.
        entry = content.index(b"PK\x01\x02")
        path.write_bytes(content[: entry + 8] + b"\x01" + content[entry + 9 :])

    archive(write)


@case("download", "an archive that is cut short")
def _(stack: ExitStack) -> None:
    def write(path: Path) -> None:
        content = write_archive(path, PETS).read_bytes()
        path.write_bytes(content[: len(content) // 2])

    archive(write, "data.tar.gz")


@case("download", "a name that an archive holds twice")
def _(stack: ExitStack) -> None:
    def write(path: Path) -> None:
        with tarfile.open(path, "w") as content:
            for image in (IMAGE, PETS["dog/000.png"]):
                info = tarfile.TarInfo("cat/a.png")
                info.size = len(image)
                content.addfile(info, io.BytesIO(image))

    archive(write, "data.tar")


@case("download", "text, or an archive of another kind")
def _(stack: ExitStack) -> None:
    archive(lambda path: path.write_bytes(b"<html>Please log in</html>"))


@case("download", "an archive without images")
def _(stack: ExitStack) -> None:
    members({"cat/notes.txt": b"meow"})
