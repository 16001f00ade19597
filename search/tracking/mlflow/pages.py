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
from typing import NamedTuple
from urllib.error import URLError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

from search.errors import StudyError
from search.records import Objective
from search.secret import masked, redacted
from search.text import cut
from search.tracking.mlflow.client import open_client
from search.tracking.mlflow.runs import KIND

_START_S = 120.0
_TRIALS = f"tags.`{KIND}` = 'trial'"
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


def page_address(uri: str) -> str:
    """Where the pages of the server at `uri` are, without an account: links are passed on."""
    scheme, colon, rest = uri.rstrip("/").partition("://")
    host, slash, path = rest.partition("/")
    return masked(f"{scheme}{colon}{host.rpartition('@')[2]}{slash}{path}")


class Experiment(NamedTuple):
    """A study's experiment."""

    id: str
    best: list[str]
    """The ids of its best trials' runs."""
    key: str
    """The metric by which its trials are sorted, as `metrics.` and its name in backticks."""
    is_ascending: bool


def experiment_of(uri: str, study: str, *, n: int = 5) -> Experiment | None:
    """A study's experiment in the store at `uri`, with its `n` best trials; None without one that
    has a view. Raises StudyError when MLflow can't be asked.
    """
    try:
        client = open_client(uri)
        experiment = client.get_experiment_by_name(study)
        if experiment is None or VIEW_TAG not in experiment.tags:
            return None
        view = json.loads(experiment.tags[VIEW_TAG])
        key, is_ascending = view["orderByKey"], view["orderByAsc"]
        order = [f"{key} {'ASC' if is_ascending else 'DESC'}"]
        ids = [experiment.experiment_id]
        runs = client.search_runs(ids, filter_string=_TRIALS, max_results=n, order_by=order)
        best = [run.info.run_id for run in runs]
        return Experiment(str(experiment.experiment_id), best, key, is_ascending)
    except Exception as error:  # stores, servers and drivers each raise their own
        reason = redacted(" ".join(str(error).split()), uri) or type(error).__name__
        raise StudyError(f"MLflow at {masked(uri)} can't be asked: {cut(reason, 300)}") from error


def view_of(objective: Objective, params: Iterable[str]) -> str:
    """What the table of a study's trials shows, for VIEW_TAG: the best by validation first, with
    what they came to and their `params`.
    """
    metrics = (objective.best_key, "test_accuracy_mean", "epochs", "train_s", "n_params")
    shown = ["attributes.`Created`", *(f"metrics.`{name}`" for name in metrics)]
    shown += [f"params.`{name}`" for name in islice(params, _MOST_PARAMS)]
    return json.dumps(
        {
            "searchFilter": _TRIALS,
            "orderByKey": f"metrics.`{objective.best_key}`",
            "orderByAsc": not objective.is_maximized,
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


def charts_page(address: str, experiment: Experiment) -> str:
    """The page of the charts of a study's trials."""
    query = {
        "searchFilter": _TRIALS,
        "orderByKey": experiment.key,
        "orderByAsc": json.dumps(experiment.is_ascending),
        "compareRunsMode": "CHART",
    }
    return f"{address}/#/experiments/{experiment.id}/runs?{urlencode(query, quote_via=quote)}"


def comparison_page(address: str, experiment: Experiment) -> str:
    """The page that compares the best runs of a study."""
    query = {"runs": json.dumps(experiment.best), "experiments": json.dumps([experiment.id])}
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
