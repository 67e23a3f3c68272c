from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders.images import encode, noise, write_raw
from builders.splits import split_params
from PIL import Image, ImageDraw

from classifier.data.dataset import load_dataset
from classifier.splitting.odd_images import odd_images
from classifier.splitting.results import write_results
from classifier.splitting.split import split


def photos(folder: str, count: int, seed: int) -> dict[str, bytes]:
    return {
        f"{folder}/{i}.jpg": encode(noise(60, 40, 100 * seed + i), "JPEG") for i in range(count)
    }


def placeholder(kind: str, size: tuple[int, int], mode: str) -> bytes:
    """What a page shows where a photo is missing: a few letters on one colour."""
    image = Image.new("RGB", size, (238, 238, 238))
    ImageDraw.Draw(image).text((4, size[1] // 2), "no image", fill=(90, 90, 90))
    return encode(image.convert(mode), kind)


def warnings_of(folder: Path, members: dict[str, bytes], **changes: object) -> pd.DataFrame:
    params = split_params(stored_size=32, **changes)
    result = split(write_raw(folder / "raw", members), folder / "split", params)
    write_results(folder / "results", load_dataset(folder / "split"), result, params.checks)
    return pd.read_csv(folder / "results/image_warnings.csv")


def test_placeholder_gif_among_photos_is_named(tmp_path: Path) -> None:
    members = photos("cat", 30, 1) | photos("dog", 30, 2)
    members |= {f"cat/x{i}.gif": placeholder("GIF", (60, 40), "P") for i in range(3)}
    found = warnings_of(tmp_path, members)
    assert set(found["path"]) == {"cat/x0.gif", "cat/x1.gif", "cat/x2.gif"}
    assert found["warning"].str.startswith("colour mode P, where 30 of 33").sum() == 3
    checks = pd.read_csv(tmp_path / "results/checks.csv").set_index("check")
    odd = checks.loc["unlike the other images of the class"]
    assert (odd["cases"], odd["worst"]) == (3, "cat/x0.gif, cat/x1.gif, cat/x2.gif")


@pytest.mark.parametrize("size", [(12, 8), (60, 40)])
def test_small_or_empty_placeholder_of_the_usual_mode_is_named(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    members = photos("cat", 12, 1) | photos("dog", 12, 2)
    if size == (12, 8):  # photos of many sizes
        members = {name: encode(noise(50 + i, 40 + i, i), "JPEG") for i, name in enumerate(members)}
    members["dog/lost.jpg"] = placeholder("JPEG", size, "RGB")
    found = warnings_of(tmp_path, members)
    assert set(found["path"]) == {"dog/lost.jpg"}
    assert found["warning"].str.contains("far smaller|nearly empty").any()


def test_image_of_another_size_than_all_others_is_named(tmp_path: Path) -> None:
    members = photos("cat", 12, 1) | photos("dog", 12, 2)
    members["cat/turned.jpg"] = encode(noise(40, 60, 99), "JPEG")
    assert warnings_of(tmp_path, members).to_numpy().tolist() == [
        ["cat/turned.jpg", "size 40 x 60, where 12 of 13 images of its class have 60 x 40"]
    ]


def test_small_image_among_photos_of_many_sizes_is_named(tmp_path: Path) -> None:
    members = {f"cat/{i}.png": encode(noise(50 + i, 40 + i, i)) for i in range(12)}
    members |= {"cat/icon.png": encode(noise(12, 8, 99))} | photos("dog", 12, 2)
    assert warnings_of(tmp_path, members).to_numpy().tolist() == [
        ["cat/icon.png", "size 12 x 8, far smaller than most of its class"]
    ]


def test_photos_and_drawings_on_one_background_raise_no_warning(tmp_path: Path) -> None:
    drawings = {}
    for i in range(12):
        image = Image.new("RGB", (60, 40), "white")
        ImageDraw.Draw(image).line([(i, i), (40, 20 + i)], fill="black", width=2)
        drawings[f"drawing/{i}.jpg"] = encode(image, "JPEG")
    assert warnings_of(tmp_path, photos("photo", 12, 1) | drawings, duplicates="keep").empty


def test_class_of_two_modes_has_no_odd_one(tmp_path: Path) -> None:
    greys = {f"cat/g{i}.jpg": encode(noise(60, 40, i)[..., 0], "JPEG") for i in range(5)}
    members = photos("cat", 20, 1) | photos("dog", 20, 2) | greys
    assert warnings_of(tmp_path, members).empty


def test_few_images_of_a_class_are_not_compared(tmp_path: Path) -> None:
    members = photos("cat", 3, 1) | photos("dog", 12, 2)
    members["cat/x.gif"] = placeholder("GIF", (60, 40), "P")
    assert warnings_of(tmp_path, members).empty


def test_limits_do_not_depend_on_the_order_of_images(tmp_path: Path) -> None:
    members = photos("cat", 12, 1) | photos("dog", 12, 2)
    members["dog/x.gif"] = placeholder("GIF", (60, 40), "P")
    split(write_raw(tmp_path / "raw", members), tmp_path / "split", split_params(stored_size=8))
    dataset = load_dataset(tmp_path / "split")
    modes = np.where(dataset.manifest["path"] == "dog/x.gif", "P", "RGB")
    thumbnails = np.random.default_rng(0).integers(0, 256, (25, 32, 32), dtype=np.uint8)
    assert [path for path, _ in odd_images(dataset, modes, thumbnails)] == ["dog/x.gif"]
