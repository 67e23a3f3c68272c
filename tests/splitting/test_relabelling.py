import hashlib
from pathlib import Path

import pytest
from builders.images import class_folders, encode, noise, write_raw
from builders.splits import split_params
from hypothesis import given
from hypothesis import strategies as st

from classifier.core.errors import UserError
from classifier.data.dataset import load_dataset
from classifier.sources.corrections import Correction
from classifier.splitting.raw_images import RawImage
from classifier.splitting.relabelling import relabel
from classifier.splitting.split import split

IMAGES = [
    RawImage("pets/a.jpg", "cat", "test"),
    RawImage("pets/b.jpg", "dog", None),
    RawImage("pets/Z\u00fc.jpg", "dog", None),
]


def no_digests() -> dict[str, str]:
    raise AssertionError("no correction names a hash")


def test_corrections_relabel_exclude_and_confirm() -> None:
    corrections = [
        Correction("pets/a.jpg", "dog", "it barks"),
        Correction("pets/b.jpg", "exclude", "blurred"),
        Correction("pets/Zu\u0308.jpg", "dog", ""),
    ]
    result = relabel(IMAGES, corrections, no_digests)
    assert result.images == [RawImage("pets/a.jpg", "dog", "test"), IMAGES[2]]
    assert result.corrected == {"pets/a.jpg": ("cat", "it barks")}
    assert result.excluded == {"pets/b.jpg": "blurred"}
    assert result.lines() == [
        "data/corrections.csv: 1 label corrected, 1 image excluded, 1 label confirmed",
        "corrected pets/a.jpg from cat to dog: it barks",
        "excluded pets/b.jpg: blurred",
    ]


def test_no_correction_says_nothing() -> None:
    result = relabel(IMAGES, [], no_digests)
    assert result.images == IMAGES
    assert result.lines() == []


def test_last_correction_of_an_image_counts() -> None:
    corrections = [Correction("pets/a.jpg", name, "") for name in ("exclude", "dog", "cat")]
    result = relabel(IMAGES, corrections, no_digests)
    assert result.images == IMAGES
    assert result.confirmed == 1


@given(st.sampled_from(IMAGES), st.text())
def test_only_the_named_image_changes(image: RawImage, reason: str) -> None:
    result = relabel(IMAGES, [Correction(image.path, "exclude", reason)], no_digests)
    assert result.images == [other for other in IMAGES if other != image]


def test_hash_names_every_equal_file() -> None:
    digests = {"pets/a.jpg": "0" * 64, "pets/b.jpg": "f" * 64, IMAGES[2].path: "f" * 64}
    corrections = [Correction(f"sha256:{'F' * 64}", "cat", "")]
    result = relabel(IMAGES, corrections, lambda: digests)
    assert [image.class_name for image in result.images] == ["cat"] * 3


@pytest.mark.parametrize(
    ("path", "name", "sentence"),
    [
        ("pets/aa.jpg", "dog", r"names pets/aa\.jpg, but .+ did you mean pets/a\.jpg\?"),
        ("sha256:00", "dog", r"names sha256:00, but .+ so: perhaps it is misspelt\. Correct or"),
        ("pets/a.jpg", "dogs", r"gives pets/a\.jpg the class dogs, but .+ did you mean dog\? To"),
        ("pets/a.jpg", "9", r"are cat, dog: name one of these\. To leave the image out, write"),
    ],
)
def test_correction_that_fits_nothing_is_refused(path: str, name: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        relabel(IMAGES, [Correction(path, name, "")], lambda: {"pets/a.jpg": "0" * 64})


def test_split_uses_the_corrected_labels_and_leaves_raw_data_alone(tmp_path: Path) -> None:
    members = class_folders({"cat": 12, "dog": 20})
    raw = write_raw(tmp_path / "raw", members | {"cat/bad.png": b"x"})
    before = {path.name: path.read_bytes() for path in raw.iterdir()}
    digest = hashlib.sha256(members["cat/003.png"]).hexdigest()
    corrections = [
        Correction(f"sha256:{digest}", "dog", "a dog"),
        Correction("cat/bad.png", "exclude", "empty"),
    ]
    result = split(raw, tmp_path / "split", split_params(), corrections)
    manifest = load_dataset(tmp_path / "split").manifest.set_index("path")
    assert manifest.loc["cat/003.png", "class"] == "dog"
    assert "cat/bad.png" not in manifest.index
    assert result.left_out["cat/bad.png"] == ("excluded", "empty")
    assert {path.name: path.read_bytes() for path in raw.iterdir()} == before


def test_excluding_a_class_away_is_refused(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", {f"{name}/a.png": encode(noise(8, 8)) for name in "ab"})
    corrections = [Correction("a/a.png", "exclude", "")]
    with pytest.raises(UserError, match="at least two classes need 3 or more images"):
        split(raw, tmp_path / "split", split_params(), corrections)
