import ast
from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from classifier.core.code import PACKAGES, ROOT
from classifier.core.random import hash_numbers, stream, stream_seed

OTHER_STREAMS = ("default_rng", "SeedSequence", "PCG64", "RandomState")


def sources() -> dict[str, ast.Module]:
    files = [path for name in PACKAGES for path in sorted((ROOT / name).rglob("*.py"))]
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text("utf-8")) for path in files}


def calls(*functions: str) -> list[tuple[str, ast.Call]]:
    """Every call of functions or methods of these names, with its file."""
    return [
        (file, node)
        for file, tree in sources().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in functions
    ]


def names_in_use() -> list[str]:
    """The name of each stream, once for each place that uses it."""
    names = []
    for file, call in calls("stream", "stream_seed", "hash_numbers"):
        if not isinstance(call.func, ast.Name):  # a method of something else
            continue
        first = call.args[0]
        assert isinstance(first, ast.Constant), f"{file}: the name of a stream is written out"
        names.append(first.value)
    return names


def test_every_name_of_a_stream_stands_at_one_place() -> None:
    counts = Counter(names_in_use())
    assert {"augment", "order", "mix", "dropout", "split"} <= set(counts)
    assert set(counts.values()) == {1}


def test_no_two_streams_share_draws_for_equal_numbers() -> None:
    draws = {name: set(stream(name, 0, 13).random(100)) for name in names_in_use()}
    assert not [pair for pair in combinations(draws, 2) if draws[pair[0]] & draws[pair[1]]]


def test_nothing_draws_from_another_source_than_a_named_stream() -> None:
    own = "classifier/core/random.py"
    assert [file for file, _ in calls(*OTHER_STREAMS) if file != own] == []
    for file, call in calls("manual_seed", "seed"):
        assert "stream_seed(" in ast.unparse(call), f"{file}: {ast.unparse(call)}"


@pytest.mark.parametrize(
    "parts", [(0,), (0, 0), (1, 0), (0, 1), (10,), ("0",), ("a", 0), (-1,), (2**80,), ()]
)
def test_other_parts_give_other_draws(parts: tuple[int | str, ...]) -> None:
    others = [(0,), (0, 0), (1, 0), (0, 1), (10,), ("0",), ("a", 0), (-1,), (2**80,), ()]
    first = stream("augment", *parts).random(5)
    for other in others:
        assert np.array_equal(first, stream("augment", *other).random(5)) == (other == parts)


def test_draws_and_seeds_are_the_same_on_every_machine() -> None:
    # Seen with numpy 2.4.6; PCG64 and SeedSequence are frozen by numpy's compatibility policy.
    assert stream("augment", 0, 1).bit_generator.random_raw(2).tolist() == [
        8091033275695038472,
        9409828050866346005,
    ]
    assert stream_seed("augment", 0, 1) == 2081389396


def test_number_of_a_key_depends_on_nothing_but_name_seed_and_key() -> None:
    keys = [b"a", b"b", b"", b"a"]
    numbers = hash_numbers("split", 0, keys)
    assert numbers.dtype == np.uint64
    assert numbers[0] == numbers[3]
    assert len(set(numbers.tolist())) == 3
    assert hash_numbers("split", 0, [b"b"]) == numbers[1]
    assert not set(hash_numbers("split", 1, keys)) & set(numbers)
    assert not set(hash_numbers("spli", 0, keys)) & set(numbers)
    # Another number would silently change everyone's splits.
    assert int(numbers[0]) == 11000879850854641959
