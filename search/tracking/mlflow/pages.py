"""MLflow's own pages: a server for them on this machine, and links to a study's runs."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

from search.errors import StudyError
from search.tracking.mlflow.runs import KIND

_START_S = 120.0
_TRIALS = f"tags.`{KIND}` = 'trial'"
_BEST = "best_val_accuracy"
_VIEW = "gridless"
_MOST_PARAMS = 12
VIEW_TAG = f"mlflow.sharedViewState.{_VIEW}"
"""The tag by which MLflow keeps a view with an experiment that links may name."""
_SETTINGS = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ENABLE_REMOTE_ASSISTANT": "false"}


@dataclass
class Server:
    """A server of MLflow's pages."""

    address: str
    process: subprocess.Popen[bytes]

    def wait(self) -> int:
        """Until it ends; its exit code."""
        return self.process.wait()


@contextmanager
def server(uri: str, port: int) -> Iterator[Server]:
    """A server of the store at `uri` on this machine's `port`, which answers; stopped in the end.

    Raises StudyError when it ends before that.
    """
    program = [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", f"{port}"]
    # The address may hold a password, and arguments are everybody's to read.
    environment = {**_SETTINGS, **os.environ, "MLFLOW_BACKEND_STORE_URI": uri}
    process = subprocess.Popen(program, env=environment)  # noqa: S603
    running = Server(f"http://127.0.0.1:{port}", process)
    try:
        _await(running)
        yield running
    finally:
        process.terminate()
        process.wait()


def experiment_of(address: str, study: str) -> dict[str, Any] | None:
    """A study's experiment, as the REST API of the server at `address` has it; None without one."""
    query = urlencode({"experiment_name": study})
    url = f"{address}/api/2.0/mlflow/experiments/get-by-name?{query}"
    try:
        with urlopen(url, timeout=30) as answer:  # noqa: S310
            experiment: dict[str, Any] = json.load(answer)["experiment"]
            return experiment
    except HTTPError as error:
        if error.code != 404:
            raise
        return None


def view_of(params: Iterable[str]) -> str:
    """What the table of a study's trials shows, for VIEW_TAG: the best by validation first, with
    what they came to and their `params`.
    """
    metrics = (_BEST, "test_accuracy_mean", "epochs", "train_s", "n_params")
    shown = ["attributes.`Created`", *(f"metrics.`{name}`" for name in metrics)]
    shown += [f"params.`{name}`" for name in islice(params, _MOST_PARAMS)]
    return json.dumps(
        {
            "searchFilter": _TRIALS,
            "orderByKey": f"metrics.`{_BEST}`",
            "orderByAsc": False,
            "startTime": "ALL",
            "lifecycleFilter": "Active",
            "datasetsFilter": [],
            "modelVersionFilter": "All Runs",
            "selectedColumns": [*shown, "tags.`rank`", "tags.`state`"],
        }
    )


def study_page(address: str, experiment: str) -> str:
    """The page of a study's trials, as `view_of` has it."""
    return f"{address}/#/experiments/{experiment}/runs?viewStateShareKey={_VIEW}"


def charts_page(address: str, experiment: str) -> str:
    """The page of the charts of a study's trials."""
    query = {
        "searchFilter": _TRIALS,
        "orderByKey": f"metrics.`{_BEST}`",
        "orderByAsc": "false",
        "compareRunsMode": "CHART",
    }
    return f"{address}/#/experiments/{experiment}/runs?{urlencode(query, quote_via=quote)}"


def comparison_page(address: str, experiment: str, *, n: int = 5) -> str:
    """The page that compares the `n` best trials of a study."""
    body = {
        "experiment_ids": [experiment],
        "filter": _TRIALS,
        "order_by": [f"metrics.`{_BEST}` DESC"],
        "max_results": n,
    }
    headers = {"Content-Type": "application/json"}
    url = f"{address}/api/2.0/mlflow/runs/search"
    with urlopen(Request(url, json.dumps(body).encode(), headers), timeout=30) as answer:  # noqa: S310
        runs = [run["info"]["run_id"] for run in json.load(answer).get("runs", [])]
    query = {"runs": json.dumps(runs), "experiments": json.dumps([experiment])}
    return f"{address}/#/compare-runs?{urlencode(query, quote_via=quote)}"


def _await(running: Server) -> None:
    until = time.monotonic() + _START_S
    while time.monotonic() < until:
        if running.process.poll() is not None:
            raise StudyError(f"MLflow's server ended; is port {running.address[-4:]} in use?")
        try:
            with urlopen(Request(f"{running.address}/health"), timeout=5):  # noqa: S310
                return
        except (URLError, OSError):
            time.sleep(0.3)
    raise StudyError(f"MLflow's server did not answer within {_START_S:g} s")
