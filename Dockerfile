# The server alone: no PyTorch, no compiler, no shell scripts. Build and run:
#   docker build --tag classifier .
#   docker run --read-only --cap-drop ALL --publish 127.0.0.1:8000:8000 classifier
# For an NVIDIA GPU (2.3 GB more):
#   docker build --build-arg REQUIREMENTS=requirements-gpu.lock --tag classifier-gpu .
#   docker run --gpus all --read-only --cap-drop ALL --publish 127.0.0.1:8000:8000 \
#     classifier-gpu --runtime cuda --processes 1
FROM python:3.13-slim
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /app
ARG REQUIREMENTS=requirements.lock
COPY docker/${REQUIREMENTS} ./
RUN pip install --no-cache-dir --require-hashes --requirement ${REQUIREMENTS} \
    && useradd --no-create-home --uid 10001 classifier
# The packages that `classifier serve`, `predict` and `verify` import.
COPY classifier/__init__.py ./classifier/
COPY classifier/__main__.py ./classifier/
COPY classifier/core/ ./classifier/core/
COPY classifier/processing/ ./classifier/processing/
COPY classifier/sources/ ./classifier/sources/
COPY classifier/inference/ ./classifier/inference/
COPY classifier/serving/ ./classifier/serving/
COPY classifier/commands/ ./classifier/commands/
COPY models/export/ ./models/export/
COPY models/MODEL_CARD.md ./models/
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s CMD ["python", "-c", \
    "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health/ready', timeout=4)"]
# Options such as --tta or --api-key-file are added after the image's name.
ENTRYPOINT ["python", "-m", "classifier", "serve", "--host", "0.0.0.0"]
