import logging
import os

import pytest

from search.secret import masked, redacted
from search.space.space import Space
from search.study.storage.ledger import Ledger
from search.tracking.mlflow import store
from search.tracking.mlflow.client import open_client
from search.tracking.process import Request, bring_now
from tests.study.helpers import begin, spec
from tests.tracking.helpers import ME, mirrored, runs

SECRET = "s3cr3t-w0rd"
URL = f"http://user:{SECRET}@host/x"


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        (f"http://user:{SECRET}@host:5000/x", "http://user:***@host:5000/x"),
        (f"https://{SECRET}@host/x.mlflow", "https://***@host/x.mlflow"),
        (
            f"postgresql+psycopg://user:{SECRET}@/db?host=/run",
            "postgresql+psycopg://user:***@/db?host=/run",
        ),
        (f"postgresql://user:a@{SECRET}/:b@host/db", "postgresql://user:***@host/db"),
        (f"postgresql://user:{SECRET}@[::1]/db", "postgresql://user:***@[::1]/db"),
        (f"postgresql://:{SECRET}@host/db", "postgresql://:***@host/db"),
        (
            f"postgresql://host/db?user=a&password={SECRET}&x=1",
            "postgresql://host/db?user=a&password=***&x=1",
        ),
        ("sqlite:////home/a@b/runs/mlflow.db", "sqlite:////home/a@b/runs/mlflow.db"),
        ("http://host:5000", "http://host:5000"),
        ("postgresql://user@host/db", "postgresql://user@host/db"),
        (
            f"see http://a:{SECRET}@h/x, or http://b:{SECRET}@h/y.",
            "see http://a:***@h/x, or http://b:***@h/y.",
        ),
    ],
)
def test_an_address_is_shown_without_its_password(uri, shown):
    assert masked(uri) == shown


def test_pieces_of_a_password_that_a_driver_quotes_are_hidden(monkeypatch):
    uri = "postgresql://user:abcd1%2F:wxyz9@host/db"
    text = "invalid port: 'abcd1/:wxyz9@host' or 'wxyz9@host' of abcd1%2F, token T0KEN"
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "T0KEN")
    shown = redacted(text, uri)
    assert not any(part in shown for part in ("abcd1", "wxyz9", "T0KEN"))


ADDRESSES = [
    f"http://user:{SECRET}@[oops",
    f"postgresql+psycopg://user:{SECRET}@127.0.0.1:1/db",
    f"postgresql+psycopg://user:x/{SECRET}:{SECRET}@127.0.0.1:1/db",
    f"nonsense://user:{SECRET}@host/db",
]


@pytest.mark.parametrize("uri", ADDRESSES)
def test_no_password_reaches_a_result_or_a_log(ledger, storage, uri, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG, "search")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    begin(ledger, ME, [0.1])
    result = mirrored(storage)
    assert result.error
    assert SECRET not in result.error
    assert SECRET not in "".join(
        record.getMessage() for record in caplog.records if record.name.startswith("search")
    )


@pytest.mark.slow
def test_the_process_keeps_its_password_to_itself(ledger, storage, monkeypatch, tmp_path):
    begin(ledger, ME, [0.1])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:{SECRET}@127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_LOGGING_LEVEL", "DEBUG")
    log = tmp_path / "m.log"
    finished = bring_now(Request(storage.url), log)
    assert finished is not None
    assert finished["mlflow"].error
    assert SECRET not in f"{finished}{log.read_text()}"


def test_no_password_reaches_tags_and_params(storage, uri):
    space = Space.from_dict(
        {
            "model": "mlp",
            "document": {"url": URL},
            "params": {"url": {"type": "choice", "choices": [URL, "none"]}},
        }
    )
    changes = {"space": space.as_dict(), "space_digest": space.digest, "first": ({"url": URL},)}
    ledger = Ledger.open(storage, spec(name="mlp-digits", finalists=0, **changes), {})
    claim = ledger.claim(ME)
    ledger.start(claim, {"url": URL}, seed=1)
    ledger.fail(claim, f"OperationalError: postgresql://user:{SECRET}@host/db is away")
    assert mirrored(storage).error is None
    run = runs(uri)["trial-0000"]
    assert run.data.params == {"url": "http://user:***@host/x"}
    assert run.data.tags["reason"] == "OperationalError: postgresql://user:***@host/db is away"


def test_the_servers_password_may_be_in_a_file(ledger, storage, uri, tmp_path, monkeypatch):
    begin(ledger, ME, [0.1])
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "old")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD_FILE", str(tmp_path / "password"))
    assert f"{tmp_path / 'password'} can't be read" in (mirrored(storage).error or "")
    (tmp_path / "password").write_text("new one\n")
    seen = []

    def open_and_look(uri):
        client = open_client(uri)
        seen.append(os.environ["MLFLOW_TRACKING_PASSWORD"])
        return client

    monkeypatch.setattr(store, "open_client", open_and_look)
    assert mirrored(storage).error is None
    assert seen == ["new one"]
