"""Cases of bad input: addresses, files and folders."""

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from builders.bad.inputs import IMAGE, PETS, Case, add_case, write_params
from builders.sources import download_section
from builders.web.site import Server, serving
from classifier.sources import fetch as fetching

OTHER_CHECKSUM = "sha256:" + "0" * 64
CASES: dict[str, Case] = {}
case = partial(add_case, CASES)


def download_params(**changes: Any) -> None:
    section = {"source": "archive", "watch": "params.yaml"} | changes
    write_params(download=download_section(**section))


# Addresses


def serve(stack: ExitStack, server: Server, checksum: str = OTHER_CHECKSUM) -> None:
    stack.enter_context(serving(server, "pets.zip"))
    download_params(url=server.address, checksum=checksum)


def without_pauses(stack: ExitStack) -> None:
    stack.callback(setattr, fetching, "FIRST_PAUSE", fetching.FIRST_PAUSE)
    fetching.FIRST_PAUSE = 0.001


@case("download", "the file is another than `download.checksum` says")
def _(stack: ExitStack) -> None:
    serve(stack, Server(b"renewed"))


@case("download", "a local file is another than `download.checksum` says")
def _(stack: ExitStack) -> None:
    Path("pets.zip").write_bytes(b"renewed")
    download_params(url="pets.zip", checksum=OTHER_CHECKSUM)


@case("download", "the connection is cut again and again at the same byte")
def _(stack: ExitStack) -> None:
    without_pauses(stack)
    serve(stack, Server(b"x" * 1000, sends=[600] + [0] * 9))


@case("download", "the server answers 404")
def _(stack: ExitStack) -> None:
    serve(stack, Server(b"", answers=[404]))


@case("download", "the address redirects to itself")
def _(stack: ExitStack) -> None:
    serve(stack, Server(b"", answers=[302] * 50))


@case("download", "the address redirects to a file, or from HTTPS to HTTP")
def _(stack: ExitStack) -> None:
    serve(stack, Server(b"", answers=[302], location="file:///etc/passwd"))


@case("download", "an address with a password")
def _(stack: ExitStack) -> None:
    download_params(url="http://ann:secret@127.0.0.1:9/pets.zip", checksum=OTHER_CHECKSUM)


@case("download", "no network, or nobody listens at the address or the proxy")
def _(stack: ExitStack) -> None:
    without_pauses(stack)
    download_params(url="http://127.0.0.1:9/pets.zip", checksum=OTHER_CHECKSUM)


@case("download", "a web address without a checksum")
def _(stack: ExitStack) -> None:
    download_params(url="http://127.0.0.1:9/pets.zip")


@case("download", "the address is of a kind that is not known")
def _(stack: ExitStack) -> None:
    download_params(url="ftp://host/pets.zip", checksum=OTHER_CHECKSUM)


@case("download", "there is no such file")
def _(stack: ExitStack) -> None:
    download_params(url="pets.zip", watch="pets.zip")


@case("download", "there is no such folder")
def _(stack: ExitStack) -> None:
    download_params(source="folder", url="pets", watch="pets")


@case("download", "a folder where an archive should be")
def _(stack: ExitStack) -> None:
    Path("pets").mkdir()
    download_params(url="pets", watch="pets")


@case("download", "an archive where a folder should be")
def _(stack: ExitStack) -> None:
    Path("pets.zip").write_bytes(b"PK")
    download_params(source="folder", url="pets.zip", watch="pets.zip")


@case("download", "a file stands where a folder has to be made")
def _(stack: ExitStack) -> None:
    Path("data").write_text("")
    download_params(source="digits")


# Folders


def write_folder(files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = Path("pets", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    download_params(source="folder", url="pets", watch="pets")


@case("download", "a folder without images")
def _(stack: ExitStack) -> None:
    write_folder({"cat/notes.txt": b"meow"})


@case("download", "a link that leads out of the folder")
def _(stack: ExitStack) -> None:
    write_folder(PETS)
    Path("private.png").write_bytes(IMAGE)
    Path("pets/cat/link.png").symlink_to("../../private.png")


@case("download", "a link to a folder, also to its own")
def _(stack: ExitStack) -> None:
    write_folder(PETS)
    Path("pets/cat/again").symlink_to("..")


@case("download", "a link to nothing")
def _(stack: ExitStack) -> None:
    write_folder(PETS)
    Path("pets/cat/lost.png").symlink_to("gone.png")


@case("download", "a file's name is not UTF-8")
def _(stack: ExitStack) -> None:
    write_folder(PETS)
    Path("pets/cat", b"caf\xe9.png".decode("utf-8", "surrogateescape")).write_bytes(IMAGE)


@case("download", "a file's name with a line break")
def _(stack: ExitStack) -> None:
    write_folder(PETS | {"cat/line\nbreak.png": IMAGE})
