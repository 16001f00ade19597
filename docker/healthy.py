#!/usr/bin/env python3
"""The images' health check: exit status 0 if the service does its work, else 1 with the reason."""

import base64
import socket
import sys
import urllib.error
import urllib.request
from pathlib import Path

MLFLOW = "http://127.0.0.1:5000/api/2.0/mlflow/experiments/search?max_results=1"


def mlflow() -> str | None:
    """Ask the server for something in its database: that needs its databases and accounts."""
    password = Path("/run/secrets/mlflow_password").read_text().strip()
    token = base64.b64encode(f"gridless:{password}".encode()).decode()
    request = urllib.request.Request(MLFLOW, headers={"Authorization": f"Basic {token}"})
    try:
        urllib.request.urlopen(request, timeout=8).close()  # noqa: S310
    except urllib.error.HTTPError as error:
        # 401 after somebody changed the password: it was compared, so the databases answer.
        return None if error.code == 401 else f"MLflow answers {error.code} {error.reason}"
    except OSError as error:
        return f"MLflow doesn't answer: {error}"
    return None


def worker() -> str | None:
    """Whether a worker of this container has signed in on the roster in time."""
    from search.errors import GridlessError  # noqa: PLC0415  # the MLflow image has no Gridless
    from search.paths import storage_url  # noqa: PLC0415
    from search.retry_limits import grace_s  # noqa: PLC0415
    from search.study.storage.optuna_storage import LedgerStorage  # noqa: PLC0415
    from search.study.storage.workers import WorkerRoster  # noqa: PLC0415

    try:
        workers = WorkerRoster(LedgerStorage(storage_url())).read()
    except GridlessError as error:
        return f"the studies' database doesn't answer: {error}"
    here = [w.silent_s for w in workers if w.worker.startswith(f"{socket.gethostname()}/")]
    if not here:
        return "no worker of this container has signed in"
    return None if min(here) < grace_s() else f"the last sign of a worker is {min(here):.0f} s old"


if __name__ == "__main__":
    reason = {"mlflow": mlflow, "worker": worker}[sys.argv[1]]()
    print(reason or "healthy")  # noqa: T201
    sys.exit(reason is not None)
