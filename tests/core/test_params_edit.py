from typing import Any

import pytest
import yaml

from classifier.core.config import load_yaml
from classifier.core.errors import UserError
from classifier.core.params_edit import edit_params, flatten

TEXT = """\
# Above all.
train:
  # The first knob.
  lr: 0.004  # to the right
  views:
    - a
    - b
  # Behind a list.
  empty:
  flow: {side: 1, name: "x"}
"""


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("train.lr", 0.01, "  lr: 0.01  # to the right"),
        ("train.lr", 1e-5, "  lr: 1.0e-05  # to the right"),
        ("train.lr", None, "  lr: null  # to the right"),
        ("train.views", [], "  views: []"),
        ("train.empty", 3, "  empty: 3"),
        ("train.flow.side", True, '  flow: {side: true, name: "x"}'),
        ("train.flow.name", "a, b", "  flow: {side: 1, name: 'a, b'}"),
        ("train.flow.name", "no", "  flow: {side: 1, name: 'no'}"),
        ("train.flow.name", "été: 1 # x", "  flow: {side: 1, name: 'été: 1 # x'}"),
    ],
)
def test_a_value_changes_and_every_comment_stays(name: str, value: Any, line: str) -> None:
    changed = edit_params(TEXT, {name: value})
    assert line in changed.splitlines()
    assert flatten(yaml.safe_load(changed)) == flatten(yaml.safe_load(TEXT)) | {name: value}
    for comment in ("# Above all.", "# The first knob.", "# to the right", "# Behind a list."):
        assert comment in changed


@pytest.mark.parametrize(
    "views",
    [
        "views:\n  - a\n  - b\n",
        "views:\n  - a\n  # in between\n  - b\n",
        "views:   # which\n  - a\n  - b\n",
        "views:\n    a\n",
        "views:\n  # above\n    [a,\n     b]\n",
    ],
)
def test_a_value_below_its_key_changes(views: str) -> None:
    text = f"train:\n  {views}  last: 1\n"
    changed = edit_params(text, {"train.views": ["c", "d"]})
    assert load_yaml(changed, "params.yaml") == {"train": {"views": ["c", "d"], "last": 1}}


@pytest.mark.parametrize(
    "text",
    ["1e3", "7E-2", "1.5", "007", "08", "0o7", "1:30", "null", "true", "2024-01-01", "~"],
)
def test_a_text_that_looks_like_something_else_stays_a_text(text: str) -> None:
    changed = edit_params(TEXT, {"train.views": [text]})
    assert load_yaml(changed, "params.yaml")["train"]["views"] == [text]


def test_several_values_change_at_once() -> None:
    changes = {"train.flow.side": 20, "train.lr": 1.0, "train.views": ["c"], "train.empty": "x"}
    changed = edit_params(TEXT, changes)
    assert flatten(yaml.safe_load(changed)) == flatten(yaml.safe_load(TEXT)) | changes


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("train.lrr", "has no parameter train.lrr: did you mean train.lr?"),
        ("train.flow", "train.flow is a group of parameters: set one of them by its name, such as"),
        ("train.accumulation", "train.accumulation is now train.grad_accumulation_steps."),
        ("xyz", "has no parameter xyz: correct its name."),
    ],
)
def test_an_unknown_name_is_refused(name: str, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        edit_params(TEXT, {name: 1})
    assert sentence in str(caught.value)


def test_an_empty_mapping_is_a_value_that_is_not_lost() -> None:
    assert flatten({"train": {"optimizer": {}}}) == {"train.optimizer": {}}
