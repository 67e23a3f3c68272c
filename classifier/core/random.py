"""Random draws as functions of numbers, such as (seed, epoch), with no state to carry along."""

import numpy as np


def generator(*numbers: int) -> np.random.Generator:
    """The same draws for the same numbers, on every machine.

    Trailing zeros count as none: uses that share their first numbers end with different ones.
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(numbers)))
