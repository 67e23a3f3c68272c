import pytest

from classifier.metrics.intervals import PairedGain
from classifier.metrics.tta_verdict import tta_verdict


@pytest.mark.parametrize(
    ("low", "worth"), [(0.001, "is worth it here"), (-0.001, "has no certain gain here")]
)
def test_views_are_worth_it_where_the_gain_is_surely_above_zero(low: float, worth: str):
    gain = PairedGain(gain=0.02, low=low, high=0.04, p_value=0.03, corrected=7, regressed=3)
    sentence = tta_verdict(0.9, 0.92, gain, ["identity", "flip"], searched=True)
    assert worth in sentence
    assert "from 0.9000 to 0.9200 (corrected: 7, regressed: 3), a gain of +0.0200" in sentence
    assert sentence.endswith("for 2 times the work (identity, flip).")


def test_another_view_in_place_of_the_centre_is_the_same_work() -> None:
    gain = PairedGain(gain=-0.02, low=-0.04, high=-0.01, p_value=0.03, corrected=3, regressed=7)
    sentence = tta_verdict(0.9, 0.88, gain, ["flip"], searched=False)
    assert "is not worth it" in sentence
    assert sentence.endswith("for the same work (flip).")


@pytest.mark.parametrize(
    ("searched", "told"),
    [
        (True, "log loss by more than two standard errors"),
        (False, "tta_evaluate.views names the centre crop alone"),
    ],
)
def test_the_centre_alone_gains_nothing(searched: bool, told: str):
    gain = PairedGain(gain=0.0, low=-0.01, high=0.01, p_value=1.0, corrected=0, regressed=0)
    sentence = tta_verdict(0.9, 0.9, gain, ["identity"], searched=searched)
    assert f"{told}; single-view accuracy 0.9000." in sentence
