"""The account that docker/mlflow-account.py makes for workers, tried on MLflow's own server
application.
"""

import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from search.tracking.mlflow.client import open_client

pytest.importorskip("flask_wtf", reason="MLflow's accounts need Flask-WTF")
pytestmark = pytest.mark.filterwarnings("ignore:starlette.middleware.wsgi is deprecated")

DOCKER = Path(__file__).resolve().parents[2] / "docker"
ADMINISTRATOR = ("gridless", "the administrator's")
WORKER = ("gridless-worker", "the second password")
Ask = Callable[..., tuple[int, Any]]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """Asks the application, whose workers' account was made twice, with a password each."""
    folder = tmp_path_factory.mktemp("mlflow")
    accounts = (
        (DOCKER / "mlflow.ini")
        .read_text()
        .replace(
            "postgresql+psycopg://mlflow@postgres:5432/mlflow_auth",
            f"sqlite:///{folder / 'accounts.db'}",
        )
    )
    (folder / "mlflow.ini").write_text(accounts)
    open_client(f"sqlite:///{folder / 'mlflow.db'}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_AUTH_CONFIG_PATH", str(folder / "mlflow.ini"))
        patch.setenv("MLFLOW_AUTH_ADMIN_PASSWORD", ADMINISTRATOR[1])
        patch.setenv("MLFLOW_FLASK_SERVER_SECRET_KEY", "any")
        patch.setenv("_MLFLOW_SERVER_FILE_STORE", f"sqlite:///{folder / 'mlflow.db'}")
        patch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", str(folder / "artifacts"))
        set_up = runpy.run_path(str(DOCKER / "mlflow-account.py"))["set_up"]
        for password in ("the first password", WORKER[1]):
            set_up(WORKER[0], password)
        from mlflow.server import app
        from mlflow.server.auth import create_app

        client = create_app(app).test_client()

        def ask(
            who: tuple[str, str], path: str, body: Any = None, method: str = "POST"
        ) -> tuple[int, Any]:
            answer = client.open(f"/api/2.0/mlflow/{path}", method=method, json=body, auth=who)
            return answer.status_code, answer.get_json(silent=True)

        yield ask


def _run(ask: Ask, who: tuple[str, str], experiment: str) -> str:
    status, answer = ask(who, "runs/create", {"experiment_id": experiment})
    assert status == 200, answer
    return str(answer["run"]["info"]["run_id"])


@pytest.mark.parametrize("owner", [ADMINISTRATOR, WORKER], ids=["begun by a person", "its own"])
def test_workers_write_into_every_study(ask: Ask, owner: tuple[str, str]) -> None:
    name = f"study of {owner[0]}"
    experiment = ask(owner, "experiments/create", {"name": name})[1]["experiment_id"]
    old, new = _run(ask, owner, experiment), _run(ask, WORKER, experiment)
    assert ask(owner, "registered-models/create", {"name": name})[0] == 200
    point = {"run_id": old, "key": "loss", "value": 1, "timestamp": 1, "step": 1}
    version = {"name": name, "source": f"runs:/{new}/model", "run_id": new}
    for path, body in {
        "runs/log-metric": point,
        "runs/set-tag": {"run_id": old, "key": "k", "value": "v"},
        "model-versions/create": version,
        "registered-models/alias": {"name": name, "alias": "champion", "version": "1"},
        "runs/delete": {"run_id": old},
    }.items():
        status, answer = ask(WORKER, path, body)
        assert status == 200, (path, answer)


def test_workers_are_no_administrators(ask: Ask) -> None:
    experiment = ask(ADMINISTRATOR, "experiments/create", {"name": "a person's"})[1][
        "experiment_id"
    ]
    account = {"username": "another", "password": "another's password"}
    for method, path, body in (
        ("POST", "users/create", account),
        ("PATCH", "users/update-password", account | {"username": ADMINISTRATOR[0]}),
        ("PATCH", "users/update-admin", {"username": WORKER[0], "is_admin": True}),
        ("DELETE", "users/delete", {"username": ADMINISTRATOR[0]}),
        ("POST", "experiments/delete", {"experiment_id": experiment}),
    ):
        assert ask(WORKER, path, body, method)[0] == 403, path
    assert ask(ADMINISTRATOR, "users/create", account)[0] == 200


def test_the_latest_password_counts(ask: Ask) -> None:
    search = "experiments/search?max_results=1"
    answers = [
        ask((WORKER[0], word), search, None, "GET")[0] for word in ("the first password", WORKER[1])
    ]
    assert answers == [401, 200]
