"""Replace exported thresholds by others that the answers of a model can be compared with."""

import math

from classifier.core.errors import UserError
from classifier.processing.decision import Decision


def with_thresholds(
    decision: Decision,
    reject_below: float | None,
    outside_above: float | None,
    *,
    has_scores: bool,
) -> Decision:
    """Return the decision with those thresholds that are not None.

    Args:
        decision: As it was exported.
        reject_below: See `Decision`.
        outside_above: See `Decision`; infinity refuses no image.
        has_scores: Whether the model gives outside scores.

    Raises:
        UserError: No answer, or any answer, could meet a threshold.
    """
    if reject_below is not None and not 0 <= reject_below <= 1:
        raise UserError(
            f"reject_below is {reject_below:g}: give a probability between 0 and 1, such as 0.8."
        )
    if outside_above is not None and math.isnan(outside_above):
        raise UserError("outside_above is NaN: give an outside score, or infinity for no limit.")
    if not has_scores and outside_above not in (None, math.inf):
        raise UserError(
            "this model gives no outside score, so that none can be compared with "
            f"{outside_above:g}: set evaluate.outside_share and run `dvc repro`, or leave it out."
        )
    told = {"reject_below": reject_below, "outside_above": outside_above}
    return decision.model_copy(
        update={name: value for name, value in told.items() if value is not None}
    )
