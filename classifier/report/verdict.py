"""Say whether test-time augmentation is worth its cost, in the words of its stage."""

from classifier.metrics.tta_verdict import GREEDY, tta_verdict
from classifier.report.run_results import RunResults


def verdict_of(run: RunResults) -> str:
    """Return the sentence that the stage tta_evaluate prints."""
    gain, after = run.tta_gain, run.tta["tta_accuracy"]
    chosen = run.chosen_views
    # The files have six decimals; the difference of two would not round as the stage does.
    before = round(after - gain.gain, 6)
    return tta_verdict(
        before, after, gain, chosen["names"].split(), searched=chosen["set"] == GREEDY
    )
