"""Divide a number of images in proportion to fractions, so that one more image changes one part.

Methods of apportionment that only round, such as largest remainders, can make a part smaller when
the total grows (the Alabama paradox). Here each additional image is given to one part and the
others stay, as in Balinski and Young, "The quota method of apportionment", American Mathematical
Monthly 82 (1975) 701-730. The part is chosen by the earliest deadline (Steiner and Yeomans, "Level
schedules for mixed-model, just-in-time processes", Management Science 39 (1993) 728-735).
"""

import math
from collections.abc import Sequence
from fractions import Fraction


def apportion(total: int, weights: Sequence[float]) -> list[int]:
    """Divide `total` in proportion to `weights`, exact to less than one.

    Each part is its share rounded up or down. A part that would be 0 is rounded up where the
    others allow it, the one with the larger weight first. `apportion(total + 1, weights)` differs
    in a single part, which is larger by one.

    Args:
        total: Number to divide, at least 0.
        weights: Positive numbers, taken as the decimals that Python prints: 0.1 is a tenth.

    Example:
        >>> apportion(10, [0.7, 0.1, 0.2])
        [7, 1, 2]
    """
    exact = [Fraction(str(weight)) for weight in weights]
    unit = math.lcm(*(share.denominator for share in exact))
    whole = [int(share * unit) for share in exact]
    common = math.gcd(*whole)
    whole = [weight // common for weight in whole]
    period = sum(whole)
    # After as many images as the period has, all parts are exact, and the order begins again.
    rounds, rest = divmod(total, period)
    parts = _first(rest, whole, period)
    return [part + rounds * weight for part, weight in zip(parts, whole, strict=True)]


def _first(total: int, weights: Sequence[int], period: int) -> list[int]:
    """Return the parts after `total` images, fewer than `period`, which is the sum of weights."""
    parts = [0] * len(weights)
    deadlines = _first_deadlines(weights, period) if total else []
    for given in range(1, total + 1):
        # Other parts would become larger than their shares rounded up.
        open_parts = [i for i, part in enumerate(parts) if part * period < given * weights[i]]
        chosen = min(open_parts, key=deadlines.__getitem__)
        parts[chosen] += 1
        # The total at which the next image of this part is due, lest it fall below its share
        # rounded down.
        deadlines[chosen] = -(-(parts[chosen] + 1) * period // weights[chosen])
    return parts


def _first_deadlines(weights: Sequence[int], period: int) -> list[int]:
    """Return the total at which each part should have its first image.

    That is as early as the shares rounded down of the other parts allow it.
    """
    order = sorted(range(len(weights)), key=lambda i: -weights[i])
    deadlines = [0] * len(weights)
    total = 0
    for rank, part in enumerate(order):
        filled = set(order[: rank + 1])
        while True:
            total += 1
            floors = [total * weight // period for weight in weights]
            if sum(max(floor, i in filled) for i, floor in enumerate(floors)) <= total:
                break
        deadlines[part] = total
    return deadlines
