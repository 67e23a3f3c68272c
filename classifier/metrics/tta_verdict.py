"""Whether several views of an image are worth their cost, as a sentence."""

from classifier.metrics.intervals import PairedGain

CENTRE = "identity"


def tta_verdict(before: float, after: float, gain: PairedGain, views: list[str]) -> str:
    """The verdict on test-time augmentation, with what it rests on.

    before, after: accuracies of the centre alone and of the views together. views: their names.
    """
    if views == [CENTRE]:
        return (
            "Test-time augmentation is not worth it here: no view joins the centre, whose accuracy "
            f"is {before:.4f}."
        )
    return (
        f"Test-time augmentation is {'' if gain.low > 0 else 'not '}worth it here: accuracy from "
        f"{before:.4f} to {after:.4f} (corrected: {gain.corrected}, spoiled: {gain.spoiled}), a "
        f"gain of {gain}, for {len(views)} times the work ({', '.join(views)})."
    )
