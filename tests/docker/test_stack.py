"""The real stack: built, started, used from outside, and each of its services killed in the middle
of a study.
"""

import csv
import io
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from search.errors import RetryLaterError
from search.records import StudyRecord
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.read import read_study
from tests.docker.stack import IMAGES, ROOT, Stack, free_port, wait_for, why_not

pytestmark = pytest.mark.skipif(
    bool(why_not()), reason=f"the stack of containers was not tried: {why_not()}"
)

GIB = 2**30
N_TRIALS = 12
STUDY = "mlp-digits"
SLOW = ("--fix", "units=200,depth=3,batch_size=10,lr=0.01", "--epochs", "12", "--finalists", "0")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Two worker containers, PostgreSQL and MLflow, all healthy. Nothing of it is left behind but
    the build cache.
    """
    secrets = tmp_path_factory.mktemp("stack") / "secrets"
    subprocess.run([ROOT / "docker" / "secrets.sh", secrets], check=True, capture_output=True)
    stack = Stack(f"gridless-test-{os.getpid()}", secrets, free_port(), free_port())
    subprocess.run(
        [ROOT / "docker" / "gpu-locks.sh"], check=True, capture_output=True, env=stack.environment
    )
    try:
        stack.compose("up", "--detach", "--build", "--wait", "--scale", "worker=2")
        yield stack
    finally:
        stack.compose("--profile", "*", "down", "--volumes", "--timeout", "5")
        stack.docker("image", "rm", *(f"gridless-test:{target}" for target in IMAGES), check=False)


@pytest.fixture
def storage(stack: Stack) -> Iterator[LedgerStorage]:
    """The studies' database, as this machine sees it."""
    url = sa.make_url(stack.storage).set(password=stack.secret("database_password"))
    storage = LedgerStorage(url.render_as_string(hide_password=False))
    yield storage
    storage.remove_session()
    storage.engine.dispose()


def test_nothing_starts_without_passwords(stack: Stack, tmp_path: Path) -> None:
    without = Stack(f"{stack.name}-without", tmp_path, free_port(), free_port())
    try:
        assert "database_password" in without.compose("up", "--detach", "--no-build", check=False)
        assert not without.compose("ps", "--quiet")
    finally:
        without.compose("--profile", "*", "down", "--volumes", "--timeout", "5")


def test_containers_are_closed_and_tell_no_password(stack: Stack) -> None:
    found = stack.containers()
    assert len(found) == 4
    bound = [
        port
        for c in found
        for ports in c["NetworkSettings"]["Ports"].values()
        for port in ports or ()
    ]
    assert {port["HostIp"] for port in bound} == {"127.0.0.1"}
    for container in found:
        assert container["Config"]["User"] in {"1000:1000", "999:999"}
        assert container["HostConfig"]["ReadonlyRootfs"]
    told = json.dumps(found) + stack.compose("logs")
    for target in IMAGES:
        told += stack.docker("history", "--no-trunc", f"gridless-test:{target}")
        told += stack.docker("inspect", f"gridless-test:{target}")
    for file in stack.secrets.iterdir():
        assert file.read_text() not in told


def test_both_databases_and_mlflow_ask_for_their_passwords(stack: Stack) -> None:
    search = "experiments/search?max_results=1"
    assert stack.mlflow(search) == 401
    assert stack.mlflow(search, password="password1234") == 401
    assert stack.mlflow(search, password=stack.secret("mlflow_password"))["experiments"]
    assert "mlflow_password" not in stack.compose("exec", "worker", "ls", "/run/secrets").split()
    for password in ("", "gridless", stack.secret("mlflow_database_password")):
        with pytest.raises(sa.exc.OperationalError, match="password"):
            sa.create_engine(sa.make_url(stack.storage).set(password=password)).connect()


def test_limits_are_in_force(stack: Stack) -> None:
    limits = {}
    for container in stack.containers():
        service, host = (
            container["Config"]["Labels"]["com.docker.compose.service"],
            container["HostConfig"],
        )
        kib = int(stack.docker("exec", container["Id"], "df", "--output=size", "/tmp").split()[-1])
        limits[service] = (host["Memory"] / GIB, host["PidsLimit"], kib * 1024 / GIB)
    assert limits == {"postgres": (2, 1024, 1), "mlflow": (2, 1024, 1), "worker": (6, 4096, 1)}


def test_the_workers_account_writes_runs_and_does_not_administer(stack: Stack) -> None:
    experiment = {"name": "a person's"}
    person = stack.mlflow(
        "experiments/create", password=stack.secret("mlflow_password"), body=experiment
    )
    account = {"username": "another", "password": "another's password"}
    answers = [
        stack.mlflow(
            path, user="gridless-worker", password=stack.secret("mlflow_worker_password"), body=body
        )
        for path, body in (
            ("runs/create", person),
            ("experiments/delete", person),
            ("users/create", account),
        )
    ]
    assert answers[0]["run"]["info"]["experiment_id"] == person["experiment_id"]
    assert answers[1:] == [403, 403]


def test_fashion_mnist_is_in_the_image_and_needs_no_network(stack: Stack) -> None:
    code = "from search.datasets import fashion; print(fashion.load().digest == fashion.DIGEST)"
    closed = [
        "--network",
        "none",
        "--read-only",
        "--tmpfs",
        "/tmp",
        "--tmpfs",
        "/runs:uid=1000",
        "--entrypoint",
        "python",
    ]
    assert stack.docker("run", "--rm", *closed, "gridless-test:cpu", "-c", code).strip() == "True"


def test_a_study_survives_the_loss_of_each_service(stack: Stack, storage: LedgerStorage) -> None:
    assert (
        stack.gridless("submit", "mlp", "digits", "--n-trials", str(N_TRIALS), *SLOW).strip()
        == STUDY
    )
    first, second = (
        c["Name"].removeprefix("/")
        for c in sorted(stack.containers("worker"), key=lambda c: c["Name"])
    )
    postgres, mlflow = (
        stack.containers(name)[0]["Name"].removeprefix("/") for name in ("postgres", "mlflow")
    )
    losses: list[tuple[int, Callable[[], object]]] = [
        (4, lambda: stack.kill(first)),
        (16, lambda: stack.kill(mlflow)),
        (24, lambda: stack.docker("rm", "--force", second)),
        (34, lambda: stack.kill(postgres)),
    ]
    for n_epochs, lose in losses:
        wait_for(lambda n=n_epochs: _epochs(_read(storage)) >= n, f"{n_epochs} epochs", seconds=600)
        assert not _is_over(_read(storage))
        lose()
    wait_for(lambda: _is_over(_read(storage)), "the study's end", seconds=900)
    for service in ("postgres", "mlflow", "worker"):
        wait_for(lambda s=service: stack.is_healthy(s), f"{service} healthy again", seconds=300)

    record = _read(storage)
    assert record is not None
    assert [trial.number for trial in record.trials] == list(range(N_TRIALS))
    for trial in record.trials:
        assert [epoch.step for epoch in trial.curve] == list(range(1, len(trial.curve) + 1))
    assert sum(trial.n_retries for trial in record.trials) >= 2  # both lost workers held a trial
    told = json.loads(stack.gridless("status", "--json", STUDY))["studies"][0]
    assert (told["state"], told["running"], told["waiting"], told["failed"]) == ("done", 0, 0, 0)
    _check_leaderboard(stack, record)
    _check_mlflow(stack, record)


def test_the_champion_is_registered_from_the_image(stack: Stack) -> None:
    few = ("--n-trials", "1", "--epochs", "1", "--finalists", "1", "--n-replicates", "1")
    stack.gridless("submit", "mlp", "digits", "--name", "kept", *few)
    register = ("run", "--rm", "cli", "register", "kept")
    # Until the study is over and MLflow has its run, there is nothing to register.
    wait_for(
        lambda: "is version 1" in stack.compose(*register, check=False),
        "a champion in MLflow",
        seconds=900,
    )
    model = stack.mlflow(
        "registered-models/get?name=kept", password=stack.secret("mlflow_password")
    )
    assert model["registered_model"]["aliases"] == [{"alias": "champion", "version": "1"}]


def test_workers_that_are_told_to_stop_do_so_well(stack: Stack) -> None:
    since = time.monotonic()
    stack.compose("stop", "worker")
    assert time.monotonic() - since < 30
    assert {c["State"]["ExitCode"] for c in stack.containers("worker")} == {0}


def _check_leaderboard(stack: Stack, record: StudyRecord) -> None:
    stack.compose("run", "--rm", "cli", "report", STUDY)
    text = stack.compose(
        "run", "--rm", "--no-deps", "--entrypoint", "cat", "cli", f"/runs/{STUDY}/leaderboard.csv"
    )
    rows = list(csv.DictReader(io.StringIO(text)))
    wanted = {trial.number: trial.val_accuracy for trial in record.trials}
    assert {int(row["trial"]): pytest.approx(float(row["val_accuracy"])) for row in rows} == wanted
    assert len(rows) == N_TRIALS
    accuracies = [float(row["val_accuracy"]) for row in rows]
    assert accuracies == sorted(accuracies, reverse=True)


def _check_mlflow(stack: Stack, record: StudyRecord) -> None:
    """MLflow has every trial once, ended, with each epoch's metrics once."""
    password = stack.secret("mlflow_password")

    def named() -> Any:
        return stack.mlflow(f"experiments/get-by-name?experiment_name={STUDY}", password=password)

    # A mirror that met MLflow dead looks again after up to a minute.
    wait_for(lambda: not isinstance(named(), int), "MLflow knows the study", seconds=180)
    query = {
        "experiment_ids": [named()["experiment"]["experiment_id"]],
        "filter": "tags.`gridless.kind` = 'trial'",
        "max_results": 1000,
    }

    def runs() -> list[dict]:  # type: ignore[type-arg]
        return stack.mlflow("runs/search", password=password, body=query).get("runs", [])

    def is_whole() -> bool:
        found = runs()
        return len(found) == N_TRIALS and all(r["info"]["status"] != "RUNNING" for r in found)

    wait_for(is_whole, "MLflow has every run, ended", seconds=300)
    steps = {}
    for run in runs():
        number = next(int(t["value"]) for t in run["data"]["tags"] if t["key"] == "gridless.trial")
        path = f"metrics/get-history?run_id={run['info']['run_id']}&metric_key=val_accuracy&max_results=1000"
        assert number not in steps
        steps[number] = [
            (m["step"], m["value"])
            for m in stack.mlflow(path, password=password).get("metrics", [])
        ]
    wanted = {
        t.number: [(e.step, pytest.approx(e.val_accuracy)) for e in t.curve] for t in record.trials
    }
    assert {number: sorted(found) for number, found in steps.items()} == wanted


def _read(storage: LedgerStorage) -> StudyRecord | None:
    try:
        return read_study(storage, STUDY)
    except RetryLaterError:
        return None


def _epochs(record: StudyRecord | None) -> int:
    return sum(len(trial.curve) for trial in record.trials) if record else 0


def _is_over(record: StudyRecord | None) -> bool:
    ended = {"COMPLETE", "PRUNED", "FAIL"}
    return (
        record is not None
        and len(record.trials) == N_TRIALS
        and {t.state for t in record.trials} <= ended
    )
