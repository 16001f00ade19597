"""A real MLflow store in SQLite, made once and copied for each test."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from search.study.storage.ledger import Ledger
from search.study.storage.optuna_storage import LedgerStorage
from search.tracking.mlflow.client import open_client
from tests.study.helpers import spec

_SERVER_SETTINGS = (
    "MLFLOW_TRACKING_URI",
    "MLFLOW_REGISTRY_URI",
    "MLFLOW_EXPERIMENT_NAME",
    "MLFLOW_RUN_ID",
)


@pytest.fixture(autouse=True)
def _no_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # where a store that is told no place keeps its artifacts
    for name in _SERVER_SETTINGS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of an MLflow store without runs of ours, made by us in a folder that wasn't
    there.
    """
    home = tmp_path_factory.mktemp("template")
    store = home / "new" / "folder" / "mlflow.db"
    store.parent.mkdir(parents=True)
    (store.parent / ".mlflow.db.new").write_bytes(b"what a process that was killed left behind")
    open_client(f"sqlite:///{store}")
    return store


@pytest.fixture
def make_store(template: Path, tmp_path: Path) -> Callable[[str], str]:
    """Make a fresh store of the given name in the test's folder, and return its address."""

    def make(name: str) -> str:
        path = tmp_path / f"{name}.db"
        for rest in ("-wal", "-shm"):
            path.with_name(path.name + rest).unlink(missing_ok=True)
        shutil.copyfile(template, path)
        return f"sqlite:///{path}"

    return make


@pytest.fixture
def uri(make_store: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an MLflow store, which is this environment's."""
    address = make_store("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    return address


@pytest.fixture
def storage(empty_sqlite: Path, tmp_path: Path) -> LedgerStorage:
    """A studies' database."""
    shutil.copyfile(empty_sqlite, tmp_path / "studies.db")
    return LedgerStorage(f"sqlite:///{tmp_path / 'studies.db'}")


@pytest.fixture
def ledger(storage: LedgerStorage) -> Ledger:
    """A study of two trials in it, without finalists."""
    return Ledger.open(storage, spec(name="mlp-digits", n_trials=2, finalists=0), {"device": "CPU"})
