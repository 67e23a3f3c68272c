"""The verdict on test-time augmentation, as a sentence."""

from classifier.metrics.intervals import PairedGain
from classifier.processing.views import CENTRE

# How the views were chosen: by the search, or by the person.
GREEDY, CONFIGURED = "greedy", "configured"


def tta_verdict(
    before: float, after: float, gain: PairedGain, views: list[str], *, searched: bool
) -> str:
    """Return one sentence on whether test-time augmentation is worth its cost, with its evidence.

    Args:
        before: accuracy of the centre crop alone.
        after: accuracy of the merged views.
        gain: from `before` to `after`, on the same images.
        views: names of the merged views.
        searched: whether a search on the validation split chose them.
    """
    if views == [CENTRE] and not searched:
        return (
            "There is no test-time augmentation: tta_evaluate.views names the centre crop alone; "
            f"single-view accuracy {before:.4f}."
        )
    if views == [CENTRE]:
        return (
            "Test-time augmentation is not worth it here: no additional view lowers the validation "
            "log loss by more than two standard errors; single-view accuracy "
            f"{before:.4f}."
        )
    work = "the same work" if len(views) == 1 else f"{len(views)} times the work"
    worth = "is worth it" if gain.low > 0 else "is not worth it"
    if not gain.is_certain:
        worth = "has no certain gain"
    return (
        f"Test-time augmentation {worth} here: accuracy from {before:.4f} to {after:.4f} "
        f"(corrected: {gain.corrected}, regressed: {gain.regressed}), a gain of {gain}, for {work} "
        f"({', '.join(views)})."
    )
