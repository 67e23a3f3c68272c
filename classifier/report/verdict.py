"""Say whether test-time augmentation is worth its cost, in the words of its stage."""

from classifier.metrics.tta_verdict import tta_verdict
from classifier.report.run_results import RunResults


def verdict_of(run: RunResults) -> str:
    """Return the sentence that the stage tta_evaluate prints."""
    gain, after = run.tta_gain, run.tta["tta_accuracy"]
    return tta_verdict(after - gain.gain, after, gain, run.chosen_views["names"].split())
