"""Metrics of a running server for Prometheus."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from classifier.serving.workers.image_worker import Outcome

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

_SIDES = (32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
# Text and bounds of the histograms by the measures of `inference.measures`.
_MEASURES = {
    "confidence": ("Probability of the most probable class.", (0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 1)),
    "outside": ("Outside score.", (-2, -1, 0, 1, 2, 3, 4, 6, 10, 20)),
    "brightness": ("Mean grey value of an image, 0 to 255.", tuple(range(25, 251, 25))),
    "width": ("Width of an image in pixels.", _SIDES),
    "height": ("Height of an image in pixels.", _SIDES),
}


class ServingMetrics:
    """Counters and histograms of one server, in a registry of their own."""

    def __init__(self, model: str, waiting: Callable[[], float]) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "classifier_requests", "Requests by status.", ["status"], registry=self._registry
        )
        self._seconds = Histogram(
            "classifier_request_seconds",
            "From the last byte of a request with images to its answer.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._images = Counter(
            "classifier_images", "Images by answer.", ["label"], registry=self._registry
        )
        self._stages = Histogram(
            "classifier_stage_seconds",
            "Where an image's time goes: waiting, decoding, inference.",
            ["stage"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._measures = {
            name: Histogram(f"classifier_{name}", text, buckets=buckets, registry=self._registry)
            for name, (text, buckets) in _MEASURES.items()
        }
        Gauge("classifier_waiting", "Images that wait.", registry=self._registry).set_function(
            waiting
        )
        self._model = Gauge(
            "classifier_model_info", "The model that is served.", ["model"], registry=self._registry
        )
        self.set_model(model)

    def count_request(self, status: int) -> None:
        """Count a response by its status."""
        self._requests.labels(str(status)).inc()

    def count_seconds(self, seconds: float) -> None:
        """Record the seconds of a request with images."""
        self._seconds.observe(seconds)

    def set_model(self, version: str) -> None:
        """Name the model that is served from now on."""
        self._model.clear()
        self._model.labels(version).set(1)

    def count_image(self, outcome: Outcome) -> None:
        """Count an image by its label, and record where its time went.

        One that could not be read counts under the empty label, which no class has.
        """
        if outcome.content is None:
            self._images.labels("").inc()
            return
        self._images.labels(outcome.content["label"]).inc()
        for stage in ("waiting", "decoding", "inference"):
            self._stages.labels(stage).observe(getattr(outcome, stage))
        self._measures["confidence"].observe(outcome.content["top"][0]["probability"])
        measures = {"outside": outcome.content["outside"], **(outcome.measures or {})}
        for name, value in measures.items():
            if value is not None:
                self._measures[name].observe(value)

    def text(self) -> bytes:
        """Return all metrics in the text format of Prometheus."""
        return generate_latest(self._registry)
