"""Device, determinism and number format of PyTorch's computations."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch

from classifier.core.cpu import cpu_kind
from classifier.core.errors import UserError

Precision = Literal["auto", "fp32", "bf16"]
OnMissing = Literal["error", "warn"]
# Parameters of glibc's mallopt.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_MISSING = " does not have a deterministic implementation"


def choose_device() -> torch.device:
    """Return the first CUDA device where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_name(device: torch.device) -> str:
    """Return the GPU's product name, or the CPU's instruction set and kind.

    Two CPUs of one instruction set may give other last bits: libraries divide their work by the
    kind and its caches.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu {torch.backends.cpu.get_cpu_capability()} {cpu_kind()}"


def prepare_pytorch(on_missing: OnMissing = "error") -> None:
    """Ask PyTorch for algorithms that give the same bits in every run on one device.

    Memory that was freed is used again: see `_keep_freed_memory`.

    on_missing: what an operation does that has none there: raise RuntimeError, or warn and differ.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # The same as `use_deterministic_algorithms(True)`, which spends seconds on loading a compiler.
    torch.set_deterministic_debug_mode(on_missing)
    # Else NaN is written to all memory that nothing has been written to, which takes a tenth of the
    # time. No result depends on it: a test computes some with and without.
    memory: Any = torch.utils.deterministic  # PyTorch gives its attribute no type
    memory.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = False
    # TORCH_ALLOW_TF32_CUBLAS_OVERRIDE in the environment would lower it.
    torch.set_float32_matmul_precision("highest")
    _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Ask glibc, where it is the C library, to keep up to a GiB of freed memory for later use.

    Else it gives the memory of every large tensor back to the system, which takes longer to hand it
    out again, page by page, than the network takes to compute: benchmarks/time.md.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, 1 << 30)


def missing_kernel(error: RuntimeError) -> str | None:
    """Return the operation without deterministic algorithm that the error is about, if it is."""
    operation, found, _ = str(error).partition(_MISSING)
    return operation.split()[-1] if found else None


@contextmanager
def explain_missing_kernel(remedy: str) -> Iterator[None]:
    """Turn the error of an operation without deterministic algorithm into a UserError.

    remedy: What to do, as the end of the sentence.
    """
    try:
        yield
    except RuntimeError as error:
        if operation := missing_kernel(error):
            raise UserError(
                f"{operation} cannot give the same result twice on this device: {remedy}."
            ) from None
        raise


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one CPU thread inside: a second one would slow small products down."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def compute_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """Return the dtype of matrix products: `auto` is bfloat16 where the hardware computes in it.

    Without hardware support bfloat16 is emulated and slower than float32.
    """
    if precision == "auto":
        return torch.bfloat16 if _computes_bf16(device) else torch.float32
    return torch.bfloat16 if precision == "bf16" else torch.float32


def _computes_bf16(device: torch.device) -> bool:
    """Return whether the hardware computes in bfloat16, by private functions on a processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
