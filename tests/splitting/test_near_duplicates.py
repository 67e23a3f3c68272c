import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageEnhance

from classifier.core.cache import CACHE_VARIABLE, cache_folder
from classifier.core.errors import UserError
from classifier.splitting.duplicates import known_pairs, near_duplicates
from classifier.splitting.duplicates.candidate_pairs import Search
from classifier.splitting.duplicates.near_duplicates import near_pairs
from classifier.splitting.duplicates.thumbnails import SIDE, grey_thumbnail


@pytest.fixture
def forget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes the pairs unknown again that earlier calls have compared."""
    numbers = itertools.count()

    def forget() -> None:
        monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / f"cache-{next(numbers)}"))

    forget()
    return forget


def scene(seed: int, side: int = 96) -> Image.Image:
    """An image with structure of every size, as photos have."""
    generator = np.random.default_rng(seed)
    pixels = np.zeros((side, side, 3))
    for cells in (3, 6, 12, 24):
        patches = generator.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
        grown = Image.fromarray(patches).resize((side, side), Image.Resampling.BILINEAR)
        pixels += np.asarray(grown) / 4
    return Image.fromarray(pixels.astype(np.uint8))


def thumbnails_of(*images: Image.Image) -> np.ndarray:
    return np.stack([grey_thumbnail(np.asarray(image)) for image in images])


def variants(image: Image.Image) -> dict[str, Image.Image]:
    side = image.width
    return {
        "darker": ImageEnhance.Brightness(image).enhance(0.6),
        "paler": ImageEnhance.Contrast(image).enhance(0.5),
        "grey": image.convert("L").convert("RGB"),
        "smaller": image.resize((40, 40)),
        "moved": ImageChops.offset(image, 3, 3),
        "cropped": image.crop((2, 2, side - 1, side - 1)).resize(image.size),
    }


@pytest.mark.parametrize("change", list(variants(scene(0))))
def test_changed_copies_are_found_among_others(change: str) -> None:
    others = [scene(seed) for seed in range(1, 40)]
    pairs, similarity = near_pairs(
        thumbnails_of(scene(0), *others, variants(scene(0))[change]), 0.75, "exact"
    )
    assert pairs.tolist() == [[0, 40]]
    assert 0.75 <= similarity[0] <= 1


def test_images_that_share_a_horizon_alone_are_different() -> None:
    generator = np.random.default_rng(0)
    seas = []
    for height in (40, 42, 44):
        pixels = generator.normal(120, 6, (96, 96, 3))
        pixels[:height] += 70
        seas.append(Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)))
    assert len(near_pairs(thumbnails_of(*seas), 0.75, "exact")[0]) == 0


def test_plain_images_are_in_no_pair() -> None:
    plain = [Image.new("RGB", (20, 20), (shade, shade, shade)) for shade in (0, 128, 128, 255)]
    assert len(near_pairs(thumbnails_of(*plain), 0.5, "exact")[0]) == 0


def test_noise_of_a_grey_level_makes_no_pair() -> None:
    nearly_plain = np.full((2, SIDE, SIDE), 128, np.uint8)
    nearly_plain[:, ::5, ::7] = 129
    assert len(near_pairs(nearly_plain, 0.5, "exact")[0]) == 0


def copies(count: int, variants_of_each: int) -> np.ndarray:
    """Thumbnails of scenes, and paler and moved copies of each."""
    scenes = [scene(seed, 40) for seed in range(count)]
    changed = [ImageEnhance.Contrast(image).enhance(0.5) for image in scenes]
    return thumbnails_of(*(scenes + changed) * variants_of_each)


@pytest.mark.parametrize("workers", [2, 3])
def test_pairs_do_not_depend_on_the_number_of_workers(
    workers: int, monkeypatch: pytest.MonkeyPatch, forget: Callable[[], None]
) -> None:
    images = copies(30, 2)
    alone = near_pairs(images, 0.75, "exact")
    assert len(alone[0]) == 30 * 6
    assert alone[0].tolist() == sorted(alone[0].tolist())
    monkeypatch.setattr("classifier.splitting.duplicates.near_duplicates._POOL_PAYS", 0)
    monkeypatch.setattr("classifier.splitting.duplicates.near_duplicates._PAIRS_A_TASK", 50)
    monkeypatch.setattr("classifier.splitting.duplicates.candidate_pairs._ROWS_A_TASK", 32)
    forget()
    together = near_pairs(images, 0.75, "exact", workers=workers)
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("search", ["exact", "index"])
def test_pairs_do_not_depend_on_the_blocks(
    search: Search, monkeypatch: pytest.MonkeyPatch, forget: Callable[[], None]
) -> None:
    images = copies(6, 3)
    whole = near_pairs(images, 0.75, search)
    assert len(whole[0]) == 6 * 15
    monkeypatch.setattr("classifier.splitting.duplicates.near_duplicates._PAIRS_A_TASK", 7)
    for name in ("_ROWS_A_TASK", "_ROWS_AT_ONCE", "_COLUMNS_AT_ONCE"):
        monkeypatch.setattr(f"classifier.splitting.duplicates.candidate_pairs.{name}", 4)
    forget()
    parts = near_pairs(images, 0.75, search)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one, other)


def test_index_finds_no_other_pairs_and_most_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss")
    noise = np.random.default_rng(0).normal(0, 2, (600, SIDE, SIDE))
    images = np.clip(copies(200, 1).repeat(2, axis=0)[:600] + noise, 0, 255).astype(np.uint8)
    exact = {tuple(pair) for pair in near_pairs(images, 0.6, "exact")[0].tolist()}
    monkeypatch.setattr("classifier.splitting.duplicates.candidate_pairs._LISTS_SEARCHED", 4)
    found = {tuple(pair) for pair in near_pairs(images, 0.6, "index")[0].tolist()}
    assert found <= exact
    assert len(exact) > 200
    assert len(found) > 0.8 * len(exact)


def test_pairs_that_are_known_are_not_compared_again_and_give_the_same(
    monkeypatch: pytest.MonkeyPatch, forget: Callable[[], None]
) -> None:
    few, more = copies(6, 1), copies(8, 1)
    near_pairs(few, 0.75, "exact")
    compared: list[int] = []
    compare = near_duplicates._detail_similarity

    def counting(thumbnails: np.ndarray, pairs: np.ndarray) -> np.ndarray:
        compared.append(len(pairs))
        return compare(thumbnails, pairs)

    monkeypatch.setattr(near_duplicates, "_detail_similarity", counting)
    partly_known = near_pairs(more, 0.75, "exact")
    again = near_pairs(more, 0.75, "exact")
    (count,) = compared
    forget()
    unknown = near_pairs(more, 0.75, "exact")
    assert 0 < count < compared[1]
    for others in (again, unknown):
        for one, other in zip(partly_known, others, strict=True):
            np.testing.assert_array_equal(one, other)


def test_pairs_that_another_kind_of_processor_compared_are_compared_again(
    monkeypatch: pytest.MonkeyPatch, forget: Callable[[], None]
) -> None:
    near_pairs(copies(4, 1), 0.75, "exact")
    (known,) = cache_folder("pairs").iterdir()
    monkeypatch.setattr(known_pairs, "cpu_kind", lambda: "another")
    near_pairs(copies(4, 1), 0.75, "exact")
    assert len({known, *cache_folder("pairs").iterdir()}) == 2


@pytest.mark.parametrize("changed", ["code_digest", "installed_versions"])
def test_pairs_that_other_code_or_libraries_compared_are_compared_again(
    monkeypatch: pytest.MonkeyPatch, forget: Callable[[], None], changed: str
) -> None:
    near_pairs(copies(4, 1), 0.75, "exact")
    (known,) = cache_folder("pairs").iterdir()
    monkeypatch.setattr(known_pairs, changed, lambda *_: "another")
    near_pairs(copies(4, 1), 0.75, "exact")
    assert known not in cache_folder("pairs").iterdir()


def test_damaged_memory_of_pairs_is_not_believed(forget: Callable[[], None]) -> None:
    images = copies(4, 1)
    first = near_pairs(images, 0.75, "exact")
    (path,) = cache_folder("pairs").iterdir()
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    for one, other in zip(first, near_pairs(images, 0.75, "exact"), strict=True):
        np.testing.assert_array_equal(one, other)


def test_only_chosen_rows_take_part() -> None:
    images = copies(3, 1)
    assert near_pairs(images, 0.75, "exact", np.array([1, 2, 4]))[0].tolist() == [[1, 4]]


def test_index_without_its_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(UserError, match=r"index needs one more package: `pip install faiss-cpu`"):
        near_pairs(copies(2, 1), 0.75, "index")


def test_no_images_have_no_pairs() -> None:
    assert len(near_pairs(np.empty((0, SIDE, SIDE), np.uint8), 0.75, "exact")[0]) == 0


def test_images_that_all_look_alike_are_refused() -> None:
    images = [scene(0)] * 100
    with pytest.raises(UserError, match=r"too many images look alike.+_similarity: null"):
        near_pairs(thumbnails_of(*images), 0.75, "exact")
