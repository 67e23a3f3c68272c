"""From images to a trustworthy image classifier; the stages in `stages/` are its programs."""

import gc
import os

# Importing PyTorch, timm and scikit-learn makes half a million objects that stay. Looking for
# garbage after every 700, Python's default, takes a seventh of that time:
# benchmarks/time.md.
gc.set_threshold(10_000)

# ONNX Runtime 1.29 and later report to its maker which models are run and where, unless this is
# set before it is imported. Who wants that sets it to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# PyTorch's threads wait for each other in a loop, for milliseconds, before they sleep. Where other
# programs run too, or a virtual machine gets less than its cores, that takes the time of the
# thread that is waited for: benchmarks/time.md. GNU OpenMP reads it when PyTorch is imported.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

# The same of OpenBLAS, which NumPy and SciPy bring: two of its threads take twice the processor time
# of one for the matrices of this project, and beside other programs up to ten times as long. With
# one, results do not depend on the number of cores either. It is read when NumPy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
