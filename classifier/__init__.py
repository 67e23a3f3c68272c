"""From images to a trustworthy image classifier; the stages in `stages/` are its programs."""

import os

# ONNX Runtime 1.29 and later report to its maker which models are run and where, unless this is
# set before it is imported. Who wants that sets it to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
