from types import SimpleNamespace
from typing import cast

from classifier.metrics.intervals import PairedGain
from classifier.report.run_results import RunResults
from classifier.report.verdict import verdict_of


def test_the_accuracy_before_is_rounded_as_its_stage_does():
    # Of 160 images 81 were right, 0.50625, and then 2 more.
    gain = PairedGain(0.0125, -0.0119, 0.0366, 0.5, corrected=2, regressed=0)
    run = SimpleNamespace(
        tta={"tta_accuracy": 0.51875},
        tta_gain=gain,
        chosen_views={"names": "identity flip", "set": "greedy"},
    )
    assert f"accuracy from {81 / 160:.4f} to" in verdict_of(cast(RunResults, run))
