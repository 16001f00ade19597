"""A real MLflow store in SQLite, made once and copied for each test."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from search.tracking.mlflow.send import sync
from search.tracking.outbox import write_header

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
    write_header(home / "outbox", {"study": "template"})
    assert sync(home / "outbox", uri=f"sqlite:///{store}", artifact_root=None).error is None
    return store


@pytest.fixture
def make_store(template: Path, tmp_path: Path) -> Callable[[str], str]:
    """Make a fresh store of the given name in the test's folder, and return its address."""

    def make(name: str) -> str:
        path = tmp_path / f"{name}.db"
        shutil.copyfile(template, path)
        return f"sqlite:///{path}"

    return make


@pytest.fixture
def uri(make_store: Callable[[str], str]) -> str:
    return make_store("mlflow")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An outbox with a header, and no events yet."""
    folder = tmp_path / "outbox"
    write_header(
        folder,
        {"study": "mlp-digits", "tags": {"model": "mlp"}, "params": {"n_trials": 2}, "at": 50},
    )
    return folder
