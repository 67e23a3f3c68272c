"""Write the model card, which travels with the model: data, results, limits.

Mitchell et al., "Model cards for model reporting", arXiv 1810.03993.
"""

import re
from collections.abc import Sequence

from classifier.core.files import sha256_of
from classifier.core.text import counted, listed
from classifier.core.versions import LIBRARIES, OPTIONAL, installed_versions
from classifier.processing.idle_knobs import idle_knobs, unread_knobs
from classifier.processing.similar_images import SIMILAR_SHEET
from classifier.report.formatting import (
    FEW_TEST_IMAGES,
    few_test_images,
    fraction,
    interval,
    knobs_that_count,
    measure_name,
    with_interval,
)
from classifier.report.run_results import MODELS, RunResults, model_files

CARD = MODELS / "MODEL_CARD.md"


def model_card(run: RunResults, verdict: str) -> str:
    """Return the card as Markdown.

    Args:
        run: Results of all stages.
        verdict: The sentence on test-time augmentation.
    """
    sections = [
        ("Model", _model(run)),
        ("Use", _use(run)),
        ("Data", _data(run)),
        ("Training", _training(run)),
        ("Results", f"{_results(run)}\n\n{_plain(verdict)}"),
        ("Classes", _classes(run)),
        ("Limits", _limits(run)),
        ("Environment", _environment()),
        ("Files", _files()),
    ]
    parts = [f"# Model card: {_plain(run.bundle['backbone']['name'])}"]
    return "\n\n".join(parts + [f"## {heading}\n\n{text}" for heading, text in sections]) + "\n"


def _model(run: RunResults) -> str:
    bundle, params = run.bundle, run.bundle["params"]["model"]
    backbone = bundle["backbone"]
    weights = "random weights"
    if backbone["weights"] is not None:
        weights = f"{backbone['origin']} (licence: {backbone['licence'] or 'unknown'})"
    frozen = {"none": "", "backbone": ", all of the backbone frozen"}.get(
        params["freeze"], f", frozen up to `{params['freeze']}`"
    )
    return (
        f"An image classifier: `{backbone['name']}` with {run.train['parameters']:,} weights, "
        f"trained from {weights}{frozen}. It takes RGB images of "
        f"{bundle['input_size']}x{bundle['input_size']} pixels and gives a probability for each of "
        f"{len(bundle['classes'])} classes."
    )


def _use(run: RunResults) -> str:
    return (
        f"It predicts which one of its {len(run.bundle['classes'])} classes an image shows, for "
        "images like those that it was trained on. It has no class for other things. "
        f"{_outside(run)}Users must judge what a wrong answer costs, and for whom."
    )


def _outside(run: RunResults) -> str:
    """Say what becomes of images that show none of the classes, in sentences with a space after."""
    if run.measure("refused_share") is None:
        return (
            "An image of something else also gets one of the classes, unless answers with low "
            "confidence are rejected. "
        )
    text = "An image whose features are unlike those of all classes is answered as `unknown`. "
    if (mean := run.left_out) is not None:
        seen = "" if mean["backbone"] == "frozen" else ", by a backbone that has seen the class"
        text += (
            f"Of images of a class that was left out, {float(mean['refused']):.0%} were "
            f"recognised{seen}, at {float(mean['good_refused']):.0%} of good ones refused. "
        )
    return text


def _data(run: RunResults) -> str:
    split, bundle = run.split, run.bundle
    rows = [
        ["source", _plain(run.data)],
        ["file", _plain(run.raw_files)],
        ["hash", run.raw_hash],
        ["images", f"{run.images:,} of {split['classes']:,} classes"],
        ["training split", run.size_of("train")],
        ["validation split", run.size_of("val")],
        ["test split", run.size_of("test")],
        ["files that are not used", run.unused_files],
        ["in val or test, with a duplicate or their group in train", f"{split['leaked']:,}"],
        ["skipped, because they could not be read", f"{split['skipped']:,}"],
        ["stored as", f"squares of {bundle['stored_size']} pixels ({bundle['resize']})"],
    ]
    return _table(["property", "value"], rows)


def _training(run: RunResults) -> str:
    told = (
        f"{run.chosen}, the best by `{run.bundle['params']['monitor']}` on the validation split. "
        "Knobs that are not off:"
    )
    if parts := run.bundle.get("divisions"):
        divided = ", then ".join(" x ".join(map(str, part)) for part in parts)
        told = (
            "The run was interrupted and went on with batches divided otherwise (processes x "
            f"grad_accumulation_steps x threads: {divided}), so that a run from the start does not "
            f"give the same bytes. {told}"
        )
    params = run.bundle["params"]
    knobs = knobs_that_count(params, [*idle_knobs(params), *unread_knobs(params)])
    rows = [[f"`{name}`", _plain(value)] for name, value in knobs]
    return f"{told}\n\n{_table(['knob', 'value'], rows)}"


def _results(run: RunResults) -> str:
    images = counted(run.split["test"], "image")
    told = f"On the {images} of the test split, which training did not use:"
    rows = [
        [measure_name(row["measure"]), fraction(row["value"]), interval(row)]
        for row in run.measures
    ]
    return f"{told}\n\n{_table(['measure', 'value', '95% interval'], rows)}"


def _classes(run: RunResults) -> str:
    rows = [
        [_plain(row["class"]), row["train"], row["test"]]
        + [with_interval(row, name) for name in ("precision", "recall")]
        for row in run.per_class
    ]
    told = "Precision and recall with 95% intervals (Wilson):"
    headings = ["class", "training images", "test images", "precision", "recall"]
    return f"{told}\n\n{_table(headings, rows)}"


def _limits(run: RunResults) -> str:
    before, after = (run.measure(name) for name in ("ece_uncalibrated", "ece"))
    assert before is not None
    assert after is not None
    foreign = "" if run.outside else "on images that show none of its classes, "
    sentences = [
        "All figures are measured on images from the same source as the training images, not on "
        f"other cameras, places or times, {foreign}or on images that were changed to mislead it.",
        "Figures are given for each class, not for other groups of images.",
        _few(run),
        f"Its confidence was calibrated on {counted(run.split['val'], 'validation image')} "
        f"(temperature {run.bundle['temperature']:g}), which changes the expected calibration "
        f"error on the test split from {fraction(before['value'])} to {fraction(after['value'])}. "
        "On images of another kind, confidence is less reliable.",
        "The intervals cover the choice of test images, not the variation between training runs.",
    ]
    return "\n".join(f"- {sentence}" for sentence in sentences if sentence)


def _few(run: RunResults) -> str:
    few = few_test_images(run.per_class)
    if not few:
        return f"Every class has at least {FEW_TEST_IMAGES} test images."
    named = listed([f"{_plain(row['class'])} ({row['test']})" for row in few])
    which, whose = ("This class has", "its") if len(few) == 1 else ("These classes have", "their")
    return (
        f"{which} fewer than {FEW_TEST_IMAGES} test images, so {whose} figures are uncertain: "
        f"{named}."
    )


def _environment() -> str:
    # The part after a plus sign names the build of a package, not its version.
    rows = [
        [name, version.partition("+")[0]]
        for name, version in installed_versions(*LIBRARIES).items()
        if version and name not in OPTIONAL
    ]
    return _table(["package", "version"], rows)


def _files() -> str:
    rows = [
        [f"`{path.relative_to(MODELS).as_posix()}`", f"{path.stat().st_size:,}", sha256_of(path)]
        for path in model_files()
    ]
    table = _table(["file in models/", "bytes", "SHA-256"], rows)
    if not any(path.name == SIMILAR_SHEET for path in model_files()):
        return table
    return f"Training images travel with it: their thumbnails, names and classes.\n\n{table}"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; names from outside must have gone through `_plain`."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plain(text: str) -> str:
    """Return `text` on one line, with the special characters of Markdown and HTML escaped."""
    return re.sub(r"([\\`*_\[\]<>|#~])", r"\\\1", " ".join(text.split()))
