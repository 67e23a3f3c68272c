"""Pack images into shards: zip files, of which one more image changes one."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from tqdm import tqdm

from classifier.core.cache import cache_folder, scratch_folder
from classifier.core.files import sha256_of
from classifier.core.shards import shard_names, shard_of
from classifier.sources.archives import write_zip
from classifier.sources.fetch import link_or_copy
from classifier.sources.tables import SeenFile


def pack(
    folder: Path, files: Sequence[SeenFile], read: Callable[[SeenFile], bytes], shards: int
) -> list[Path]:
    """Write the images among `files` to `images-*.zip` in `folder`; return the paths of all shards.

    A shard without images is an empty zip. The same images give the same bytes, and a shard that
    was packed before is the same file, so that DVC neither hashes nor stores it again.

    Args:
        folder: Is created where it is missing.
        files: Sorted by path.
        read: Returns the content of a file; each image is read once.
        shards: Number of zip files; see `shard_of`.
    """
    members: list[list[SeenFile]] = [[] for _ in range(shards)]
    for file in files:
        if file.status == "image":
            members[shard_of(file.path, shards)].append(file)
    paths = [folder / name for name in shard_names(shards, ".zip")]
    total = sum(map(len, members))
    with (
        scratch_folder("packed") as scratch,
        tqdm(desc="pack", total=total, unit="images", disable=None) as bar,
    ):

        def entries(chosen: Sequence[SeenFile]) -> Iterator[tuple[str, bytes]]:
            for file in chosen:
                yield file.path, read(file)
                bar.update()

        for path, chosen in zip(paths, members, strict=True):
            write_zip(path, entries(chosen))
            _share(path, scratch)
    _remove_unused()
    return paths


def _share(path: Path, scratch: Path) -> None:
    """Replace a file by the one of the same content in the cache, or add it to the cache.

    DVC removes data/raw before the stage runs, but leaves the files in its cache as they are. A
    file that is a link to one of these takes no room; a new file of the same content does.
    """
    kept = cache_folder("packed") / f"{sha256_of(path)}.zip"
    held = scratch / kept.name
    with suppress(OSError):  # there is none, or it belongs to another user
        held.hardlink_to(kept)  # from now on, no other run takes it for unused and removes it
    if held.is_file() and sha256_of(held) == kept.stem:
        link_or_copy(held, path)
        return
    path.chmod(0o444)  # DVC's cache will have a link to it
    with suppress(OSError):  # another file system, or one without hard links
        kept.unlink(missing_ok=True)
        kept.hardlink_to(path)


def _remove_unused() -> None:
    """Remove the files from the cache to which neither data/raw nor DVC's cache has a link."""
    for kept in cache_folder("packed").glob("*.zip"):
        with suppress(FileNotFoundError):  # another run that shares the cache was faster
            if kept.stat().st_nlink == 1:
                kept.unlink()
