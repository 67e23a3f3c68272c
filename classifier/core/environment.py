"""What must be set before libraries are imported: environment variables, and Python's own."""

import gc
import os


def prepare_environment() -> None:
    """Set what libraries read when they are imported, unless the user has set it."""
    # Importing PyTorch, timm and scikit-learn makes half a million objects that stay. Looking for
    # garbage after every 700, Python's default, takes a seventh of that time:
    # benchmarks/time.md.
    gc.set_threshold(10_000)
    # ONNX Runtime 1.29 and later report to its maker which models are run and where, unless this
    # is set. Who wants that sets it to 0.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    # PyTorch's threads wait for each other in a loop, for milliseconds, before they sleep. Where
    # other programs run too, or a virtual machine gets less than its cores, that takes the time of
    # the thread that is waited for: benchmarks/time.md. It is GNU OpenMP that reads it.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    # So do threads of OpenBLAS, which NumPy and SciPy bring: two take more than twice the processor
    # time of one. With one, results do not depend on the number of cores either.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
