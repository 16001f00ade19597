"""What people and a user's own code get to see of passwords, tokens and keys."""

import os
from pathlib import Path

import pytest

from search.paths import storage_url
from search.secret import masked, redacted, without_secrets

SECRET = "s3cr3t-w0rd"


@pytest.mark.parametrize(
    "name", ["password", "passwd", "PWD", "sslpassword", "sslkey", "token", "client_secret", "sig"]
)
def test_a_query_is_shown_without_its_secrets(name: str) -> None:
    uri = f"postgresql://u@h/db?x=1&{name}={SECRET}'a;b&y=2"
    assert masked(uri) == f"postgresql://u@h/db?x=1&{name}=***&y=2"
    assert masked(f"no '{uri[:-4]}' now") == f"no 'postgresql://u@h/db?x=1&{name}=***' now"
    assert SECRET not in redacted(f"no host {SECRET}'a;b", uri)


def test_text_of_any_length_is_looked_through_at_once() -> None:
    text = "a" * 1_000_000  # at a cost of the square of its length, this would take hours
    assert masked(f"{text} http://u:{SECRET}@h") == f"{text} http://u:***@h"


def test_a_users_code_gets_no_password() -> None:
    plain = {
        "PATH": "/bin",
        "GRIDLESS_DATA": "/d",
        "MLFLOW_TRACKING_URI": "http://h",
        "GRIDLESS_STORAGE": "sqlite:///x",
    }
    secret = {
        "PGPASSWORD": "a",
        "MLFLOW_TRACKING_TOKEN": "a",
        "GRIDLESS_STORAGE_PASSWORD_FILE": "/f",
        "WANDB_API_KEY": "a",
        "AWS_A": "a",
    }
    assert without_secrets(plain | secret) == plain
    addresses = {
        "MLFLOW_TRACKING_URI": "http://u:p@h",
        "GRIDLESS_STORAGE": "postgresql://h/db?password=p",
    }
    assert without_secrets(plain | addresses) == {"PATH": "/bin", "GRIDLESS_DATA": "/d"}
    store = plain | {"GRIDLESS_ARTIFACTS": "s3://box", "AWS_SECRET_ACCESS_KEY": "a"}
    assert without_secrets(store) == store  # trials write their checkpoints there


def test_the_storages_address_holds_the_password_that_workers_do_without(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PGPASSWORD", SECRET)
    for url, full in (
        ("postgresql://u@h/db", f"postgresql://u:{SECRET}@h/db"),
        ("postgresql://u:p@h/db", "postgresql://u:p@h/db"),
        ("postgresql://u@h/db?password=p", "postgresql://u@h/db?password=p"),
        (f"sqlite:///{tmp_path}/x.db", f"sqlite:///{tmp_path}/x.db"),
    ):
        monkeypatch.setenv("GRIDLESS_STORAGE", url)
        assert storage_url() == full
    assert "PGPASSWORD" in os.environ
