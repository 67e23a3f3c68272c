"""Pack images into shards: zip files, of which one more image changes one."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from classifier.core.shards import shard_names, shard_of
from classifier.sources.archives import write_zip
from classifier.sources.tables import SeenFile


def pack(
    folder: Path, files: Sequence[SeenFile], read: Callable[[SeenFile], bytes], shards: int
) -> list[Path]:
    """Write the images among `files` to `images-*.zip` in `folder`; return the paths of all shards.

    A shard without images is an empty zip. The same images give the same bytes.

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
    with tqdm(desc="pack", total=total, unit="images", disable=None) as bar:

        def entries(chosen: Sequence[SeenFile]) -> Iterator[tuple[str, bytes]]:
            for file in chosen:
                yield file.path, read(file)
                bar.update()

        for path, chosen in zip(paths, members, strict=True):
            write_zip(path, entries(chosen))
    return paths
