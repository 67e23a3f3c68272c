import os
import platform
import subprocess
import sys

import pytest
import torch

from classifier.core.code import ROOT
from classifier.core.cpu import cpu_kind
from classifier.models.devices import choose_device, compute_dtype, device_name, prepare_pytorch

CPU = torch.device("cpu")


def test_device_is_cuda_where_there_is_one() -> None:
    assert choose_device().type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_operation_without_deterministic_algorithm_raises(restored_determinism: None) -> None:
    prepare_pytorch()
    with pytest.raises(RuntimeError, match="deterministic"):
        torch.zeros(2).put_(torch.tensor([0, 0]), torch.tensor([1.0, 2.0]))


def test_the_environment_does_not_lower_the_precision_of_products() -> None:
    program = (
        "import torch; from classifier.models.devices import prepare_pytorch; "
        "before = torch.get_float32_matmul_precision(); prepare_pytorch(); "
        "print(before, torch.get_float32_matmul_precision())"
    )
    around = {**os.environ, "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1", "PYTHONPATH": str(ROOT)}
    said = subprocess.check_output([sys.executable, "-c", program], env=around, text=True)
    assert said == "high highest\n"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_memory_of_tensors_that_are_gone_is_used_again() -> None:
    program = (
        "import resource, torch; from classifier.models.devices import prepare_pytorch\n"
        "prepare_pytorch()\n"
        "def pages():\n"
        "    for _ in range(20): torch.ones(2**24), torch.ones(2**22)\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "before = pages(); print(pages() - before)"
    )
    around = {**os.environ, "PYTHONPATH": str(ROOT)}
    said = subprocess.check_output([sys.executable, "-c", program], env=around, text=True)
    # A page has 4 KiB or more; each of the 20 times would ask for 80 MiB of them.
    assert int(said) < 1000


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_named_precision_is_taken_whatever_the_hardware(precision, dtype) -> None:
    assert compute_dtype(precision, CPU) == dtype


@pytest.mark.parametrize(
    ("avx512", "amx", "dtype"),
    [
        (False, False, torch.float32),
        (True, False, torch.bfloat16),
        (False, True, torch.bfloat16),
    ],
)
def test_auto_is_bfloat16_only_where_the_processor_computes_in_it(
    monkeypatch: pytest.MonkeyPatch, avx512: bool, amx: bool, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert compute_dtype("auto", CPU) == dtype


def test_processor_is_named_by_what_it_can_do_and_by_its_kind() -> None:
    assert device_name(CPU) == f"cpu {torch.backends.cpu.get_cpu_capability()} {cpu_kind()}"


def test_pytorch_says_what_the_processor_computes_in() -> None:
    # Private functions, seen with PyTorch 2.15.
    assert isinstance(torch.cpu._is_avx512_bf16_supported(), bool)
    assert isinstance(torch.cpu._is_amx_tile_supported(), bool)
