"""How often and how long Gridless tries again, as the environment says."""

import pytest

from search.errors import InputError
from search.retry_limits import (
    database_wait_s,
    grace_s,
    limit_problems,
    trial_retries,
    worker_restarts,
)

SETTINGS = {
    "GRIDLESS_GRACE_S": (grace_s, 60.0, ("0", "-1", "inf", "soon")),
    "GRIDLESS_DATABASE_WAIT_S": (database_wait_s, 600.0, ("0", "nan", "x")),
    "GRIDLESS_TRIAL_RETRIES": (trial_retries, 10, ("-1", "0.5", "many")),
    "GRIDLESS_WORKER_RESTARTS": (worker_restarts, 3, ("-1", "1e3", "9" * 12)),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_each_is_set_by_the_environment_and_refused_where_it_means_nothing(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting, default, refused = SETTINGS[name]
    assert setting() == default
    monkeypatch.setenv(name, "7")
    assert setting() == 7
    for text in refused:
        monkeypatch.setenv(name, text)
        with pytest.raises(InputError, match=f"{name}: '{text}' is not .*; set it to"):
            setting()
        assert len(limit_problems()) == 1


def test_a_worker_may_be_started_once_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRIDLESS_WORKER_RESTARTS", "0")
    assert worker_restarts() == 0
