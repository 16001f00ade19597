"""Fixtures shared by all tests: a home of their own, and both kinds of storage."""

import gc
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

# Before NumPy is loaded: strategies solve small systems, and threads that wait in turns for two cores
# make each take several times as long.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import pytest
import sqlalchemy as sa

from search.cli import main
from search.files import locked
from search.study.storage.optuna_storage import LedgerStorage

Once = Callable[[], AbstractContextManager[bool]]
SLOW = {
    "actions/test_plan_suite.py",
    "actions/test_reproduce.py",
    "cli/test_bad_input.py",
    "cli/test_bench.py",
    "cli/test_bench_peers.py",
    "cli/test_delete.py",
    "cli/test_goals.py",
    "cli/test_queue.py",
    "cli/test_study.py",
    "docker/test_account.py",
    "keras_tuner/test_exploring.py",
    "keras_tuner/test_search.py",
    "keras_tuner/test_training.py",
    "lab/peers/test_systems.py",
    "models/test_families.py",
    "models/test_hypermodel.py",
    "models/test_models.py",
    "test_earlier_version.py",
    "test_optimize.py",
    "tracking/mlflow/test_register.py",
    "tracking/mlflow/test_store.py",
    "tracking/test_process.py",
    "tracking/test_trackers.py",
    "training/test_classifier_outputs.py",
    "training/test_export.py",
    "training/test_features.py",
    "training/test_probe.py",
    "training/test_recipe.py",
    "training/test_schedule.py",
    "training/test_tasks.py",
    "training/test_train_loop.py",
    "training/test_trainer.py",
    "worker/engines/test_slurm.py",
    "worker/test_final_report.py",
    "worker/test_service.py",
    "worker/test_studies.py",
    "worker/test_study_worker.py",
    "worker/trial/test_sandbox.py",
}
"""Modules that train, start servers or processes of their own, or take long."""


def pytest_configure() -> None:
    """Import the tests without the garbage collector, which takes a quarter of TensorFlow's import.

    And hear Ctrl-C: what a shell starts with `&` ignores it, and so would the commands under test.
    """
    gc.disable()
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Keep the collector, which every `clear_session()` calls, to what the tests make, and seldom."""
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    gc.enable()


@pytest.fixture(scope="module", autouse=True)
def kept_from_collector() -> None:
    """What earlier modules imported and left is looked at no more: `clear_session()`, statsmodels
    and others collect garbage again and again.
    """
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark slow tests, and begin each worker's share with its part of them, lest one end alone."""
    n = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    root = Path(__file__).parent
    places = {item: item.path.relative_to(root).as_posix() for item in items}
    long = sorted(SLOW & set(places.values()))
    for item, place in places.items():
        if place in SLOW:
            item.add_marker("slow")
    fast = [item for item in items if places[item] not in SLOW]
    shares = [[item for item in items if places[item] in long[k::n]] for k in range(n)]
    ordered: list[pytest.Item] = []
    for k, share in enumerate(shares, start=1):
        n_fast = max(0, len(items) * k // n - len(ordered) - len(share))
        ordered += [*share, *fast[:n_fast]]
        del fast[:n_fast]
    items[:] = [*ordered, *fast]


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing outside tmp_path is read or written."""
    home = tmp_path / "runs"
    monkeypatch.setenv("GRIDLESS_HOME", str(home))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    for name in (
        "DATA",
        "STORAGE",
        "STORAGE_PASSWORD_FILE",
        "ARTIFACTS",
        "GPU_LOCKS",
        "GRACE_S",
        "TRIAL_RETRIES",
        "WORKER_RESTARTS",
        "DATABASE_WAIT_S",
    ):
        monkeypatch.delenv(f"GRIDLESS_{name}", raising=False)
    monkeypatch.setenv(
        "PYTHONSAFEPATH", ""
    )  # which commands set for what they start: it goes with the test
    monkeypatch.delenv("PYTHONSAFEPATH")
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_PASSWORD_FILE"):
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture(autouse=True)
def own_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Modules that a test wrote, and the folder it imported them from, go with it."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Exit code, stdout and stderr of the command line, run in this process."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["gridless", *arguments])
        with pytest.raises(SystemExit) as exit_:
            main()
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return int(exit_.value.code or 0), out, err

    return run


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Holds back the other workers of pytest-xdist from what they share."""
    return lambda: locked(tmp_path_factory.getbasetemp().parent / "once.lock", wait=True)


@pytest.fixture(scope="session")
def postgres_server(once: Once, testrun_uid: str) -> Iterator[str]:
    """The URL of a real PostgreSQL, one for all workers; what it writes is not forced to the disk."""
    pgserver = pytest.importorskip("pgserver", reason="no wheel of pgserver for this platform")
    # Not under pytest's folder, which only its owner may enter: root's server runs as another user.
    folder = Path(tempfile.gettempdir(), f"gridless-pg-{testrun_uid}")
    with once():
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
        server = pgserver.get_server(folder / "data", cleanup_mode="stop")
        with admin_of(server.get_uri()) as connection:
            connection.execute(sa.text("ALTER SYSTEM SET fsync = off"))
            connection.execute(sa.text("SELECT pg_reload_conf()"))
    yield server.get_uri()
    with once():
        server.cleanup()
        if not (folder / "data" / "postmaster.pid").exists():
            shutil.rmtree(folder)


@contextmanager
def admin_of(server: str) -> Iterator[sa.Connection]:
    """A connection that makes and drops databases."""
    admin = sa.create_engine(with_driver(server), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        yield connection
    admin.dispose()


def with_driver(server: str) -> sa.URL:
    """The URL of PostgreSQL, with our driver."""
    return sa.make_url(server).set(drivername="postgresql+psycopg")


@pytest.fixture(scope="session")
def empty_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its tables, which takes a second to make, to be copied."""
    file = tmp_path_factory.mktemp("empty") / "studies.db"
    LedgerStorage(f"sqlite:///{file}").engine.dispose()
    return file


@pytest.fixture(scope="session")
def empty_postgres(postgres_server: str, once: Once) -> str:
    """The name of the like on PostgreSQL."""
    with once(), admin_of(postgres_server) as connection:
        names = connection.execute(sa.text("SELECT datname FROM pg_database")).scalars()
        if "empty" not in set(names):
            connection.execute(sa.text("CREATE DATABASE empty"))
            url = with_driver(postgres_server).set(database="empty")
            LedgerStorage(url.render_as_string(hide_password=False)).engine.dispose()
    return "empty"


@pytest.fixture(params=["sqlite", "postgresql"])
def storage_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of each kind."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("empty_sqlite"), tmp_path / "studies.db")
        yield f"sqlite:///{tmp_path / 'studies.db'}"
        return
    server = request.getfixturevalue("postgres_server")
    template, name = request.getfixturevalue("empty_postgres"), f"t{uuid4().hex}"
    with admin_of(server) as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name} TEMPLATE {template}"))
        yield with_driver(server).set(database=name).render_as_string(hide_password=False)
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def open_storage(storage_url: str) -> Iterator[Callable[[], LedgerStorage]]:
    """Opens the database as one more process would; all are closed at the end."""
    opened: list[LedgerStorage] = []

    def open_one(**_: Any) -> LedgerStorage:
        opened.append(LedgerStorage(storage_url))
        return opened[-1]

    yield open_one
    for storage in opened:
        storage.remove_session()
        storage.engine.dispose()
