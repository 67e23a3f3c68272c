"""The limits of the server, each of which bounds what one client can cost all others."""

from dataclasses import dataclass

# Named as in `--formats`; Pillow calls HEIC files HEIF.
DEFAULT_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "HEIF")


# Images that need less memory ask for none, since asking takes time too; each worker may hold so
# much.
FREE_BYTES = 32 << 20
# The libraries of the server, and those of a worker process with what they allocate for a network.
_SERVER_BYTES, _PROCESS_BYTES = 200 << 20, 300 << 20


@dataclass(frozen=True)
class Limits:
    """Limits of the server.

    Attributes:
        max_body: Bytes of a request's body.
        max_pixels: Pixels of an image.
        max_images: Images of a request.
        max_waiting: Images in the queue.
        max_buffered: Bytes of all request bodies in memory.
        max_decoded: Bytes of all images that are being decoded, see `processing.decoded_size`.
        formats: Formats of images that are taken, some of `processing.formats.FORMATS`.
        max_connections: Open connections.
        address_share: Share of `max_buffered` that one address may hold.
        header_bytes: Bytes of a request's header.
        header_count: Fields of a request's header.
        header_seconds: From the first byte of a request to the end of its header.
        upload_seconds: From the first byte of a request to its last one.
        min_rate: Bytes a second that a body must bring on average, once `header_seconds` are over.
        decode_seconds: Of one image, without the model; its process is killed then.
        ready_seconds: Seconds that images may be delayed; beyond, the server is not ready.
        answer_seconds: From the last byte of a request to its answer.
        write_seconds: For a client to take what was sent to it.
        shutdown_seconds: From SIGTERM to the end of the process.
    """

    max_body: int = 32 << 20
    max_pixels: int = 25_000_000
    max_images: int = 16
    max_waiting: int = 64
    max_buffered: int = 128 << 20
    max_decoded: int = 512 << 20
    formats: tuple[str, ...] = DEFAULT_FORMATS
    max_connections: int = 512
    address_share: float = 0.5
    header_bytes: int = 16 << 10
    header_count: int = 100
    header_seconds: float = 10.0
    upload_seconds: float = 60.0
    min_rate: int = 4096
    decode_seconds: float = 5.0
    ready_seconds: float = 2.0
    answer_seconds: float = 30.0
    write_seconds: float = 10.0
    shutdown_seconds: float = 10.0


def most_memory(limits: Limits, workers: int, in_processes: bool, model_bytes: int) -> int:
    """Return how many bytes of memory the server takes at most, with all its processes.

    Args:
        limits: Of the server.
        workers: Number of processes or threads that decode and infer.
        in_processes: Whether they are processes.
        model_bytes: Of the model's file, which each process holds twice: as it is, and loaded.
    """
    models = 2 * model_bytes * (workers + 1 if in_processes else 1)
    # A worker holds an image in the message and by itself, and the server the next one twice.
    a_worker = FREE_BYTES + 4 * limits.max_body + (_PROCESS_BYTES if in_processes else 0)
    # The bytes of an upload are copied once when it is complete.
    shared = _SERVER_BYTES + 2 * limits.max_buffered + limits.max_decoded
    return shared + workers * a_worker + models
