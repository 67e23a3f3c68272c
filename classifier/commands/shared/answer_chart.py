"""Images beside bars of their most probable classes."""

from collections.abc import Sequence

from classifier.inference.batch import ImageResult
from classifier.plotting.agg import Figure
from classifier.plotting.figures import BLUE, GREY, draw_image, new_figure
from classifier.plotting.fonts import drawable_names
from classifier.plotting.short_names import short_names

# Characters that fit above the bars, of wide letters too.
_TITLE = 26


def answer_figure(outcomes: Sequence[ImageResult], top_k: int) -> Figure:
    """Draw a row for each image, as the model sees it, and its `top_k` classes; grey: rejected."""
    assert outcomes
    figure = new_figure(8, 2.3 * len(outcomes))
    rows = figure.subplots(len(outcomes), 2, squeeze=False, width_ratios=(1, 2))
    for (left, right), outcome in zip(rows, outcomes, strict=True):
        answer = outcome.answer
        assert answer is not None
        assert outcome.image is not None
        draw_image(left, outcome.image.pixels, outcome.name.replace("\\", "/").rsplit("/", 1)[-1])
        best = answer.top(top_k)
        drawn = drawable_names(answer.classes)
        short, titles = short_names(drawn, 24), short_names(drawn, _TITLE)
        names = [short[candidate.index].replace("$", r"\$") for candidate in best]
        values = [candidate.probability for candidate in best]
        bars = right.barh(range(len(best)), values, color=GREY if answer.rejected else BLUE)
        right.bar_label(bars, [f"{value:.1%}" for value in values], padding=3, fontsize=8)
        right.set_yticks(range(len(best)), names, fontsize=8)
        right.invert_yaxis()
        right.set_xlim(0, 1.15)
        right.set_xticks([0, 0.5, 1], ["0%", "50%", "100%"], fontsize=8)
        right.spines[["top", "right"]].set_visible(False)
        title = answer.label if answer.index is None else titles[answer.index]
        right.set_title(title.replace("$", r"\$"), fontsize=9)
    return figure
