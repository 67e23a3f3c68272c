from pathlib import Path

import pytest

from classifier.core.addresses import (
    check_without_password,
    is_web_address,
    local_path,
    shown_address,
)


def test_addresses_and_paths_are_distinguished() -> None:
    assert is_web_address("HTTPS://host/a.zip")
    assert not is_web_address("file:///a.zip")
    assert local_path("file:///a%20b/c.zip") == local_path("file://localhost/a%20b/c.zip")
    assert local_path("file:///a%20b/c.zip") == Path("/a b/c.zip")
    assert local_path("a%20b/c.zip") == Path("a%20b/c.zip")
    with pytest.raises(ValueError, match="another computer"):
        local_path("file://host/c.zip")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://host/a.zip", "https://host/a.zip"),
        ("https://host/a.zip?token=secret&x=1#part", "https://host/a.zip?…"),
        ("https://ann:secret@host:8000/a.zip", "https://host:8000/a.zip"),
        ("https://ann:se@cret@host/a.zip", "https://host/a.zip"),
        ("https://ann:secret@[::1/a.zip?secret", "https://[::1/a.zip?…"),
        ("HTTP://secret@host", "HTTP://host"),
        ("pictures/what?.zip", "pictures/what?.zip"),
    ],
)
def test_nothing_that_may_be_secret_is_shown(address: str, shown: str) -> None:
    assert shown_address(address) == shown


@pytest.mark.parametrize("address", ["https://ann:secret@host/a", "http://token@host?q"])
def test_password_in_an_address_is_refused_without_repeating_it(address: str) -> None:
    with pytest.raises(ValueError, match=r"~/\.netrc") as caught:
        check_without_password(address, "download.url")
    assert "secret" not in str(caught.value)
    check_without_password("https://host/a@b?c@d", "download.url")
