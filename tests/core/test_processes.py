import pytest

from classifier.core.processes import worker_count


def test_number_of_workers_follows_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert worker_count() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert worker_count() >= 1
