"""One command's share of a study: local workers and the MLflow mirror, from start to stop."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from search.errors import RetryLaterError, StudyError
from search.places import home
from search.study.environment import code_version
from search.study.ledger import Ledger
from search.study.records import TrialRecord
from search.tracking.outbox import Outbox, write_header
from search.tracking.uri import default_artifact_root, default_uri, is_remote
from search.worker.local import LocalWorkers
from search.worker.prepare import Plan

TICK_S = 1.0
DRAIN_WAIT_S = 30.0
HURRIED_WAIT_S = 3.0
"""After Ctrl-C nobody wants to wait for MLflow."""


class End(StrEnum):
    """Why a command stopped working on its study."""

    DONE = "done"
    TIMEOUT = "timeout"


def run(
    plan: Plan, ledger: Ledger, workers: LocalWorkers, *, mlflow: bool, show: Callable[[list[TrialRecord]], None]
) -> End:
    """Serve the study with `workers` until it is over or its time is; `show` is given the trials every second.

    However it ends, KeyboardInterrupt included, the workers have given their trials back before it returns.
    Raises StudyError when workers ended before the study was over.
    """
    began = time.monotonic()
    workers.go(plan.spec.name, storage=ledger.storage.url, data=plan.data.folder, mlflow=mlflow)
    try:
        while workers.check():
            _show(ledger, show)
            if plan.spec.timeout_s is not None and time.monotonic() - began > plan.spec.timeout_s:
                return End.TIMEOUT
            time.sleep(TICK_S)
        trouble = workers.trouble()
    finally:
        workers.stop()
    _show(ledger, show)
    trials = ledger.trials()
    over = len(trials) >= plan.spec.n_trials and all(t.state in {"COMPLETE", "PRUNED", "FAIL"} for t in trials)
    if trouble and not over:
        raise StudyError(trouble)
    return End.DONE


def _show(ledger: Ledger, show: Callable[[list[TrialRecord]], None]) -> None:
    try:
        show(ledger.trials())
    except RetryLaterError:
        return  # the view stands still while the database is away; the workers wait for it themselves


@dataclass
class Mirror:
    """The process that sends this study's outbox on to MLflow while it runs."""

    folder: Path
    process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, plan: Plan, uid: str) -> "Mirror":
        """Begin to follow the outbox of `plan`'s study, whose id in the storage is `uid`."""
        folder = plan.folder / "outbox"
        spec = plan.spec
        tags = spec.model_dump(include={"model", "data", "data_digest", "space_digest"})
        tags |= {"code_version": code_version(), "device": plan.devices[0].name}
        settings = spec.model_dump(include={"n_trials", "epochs", "seed", "strategy", "validation_fraction"})
        write_header(folder, {"study": spec.name, "id": uid, "tags": tags, "params": settings})
        with (plan.folder / "logs" / "mlflow.log").open("ab") as log:
            process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "search.tracking", str(folder), *mirror_arguments(), "--follow"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return cls(folder, process)

    def finish(self, trials: Iterable[TrialRecord], artifacts: list[Path], *, wait_s: float) -> str | None:
        """Send `artifacts`, how `trials` ended and what is left; what to tell the user if not all arrived in time.

        A worker may be killed between storing an end and telling of it; told twice, it does no harm.
        """
        outbox = Outbox(self.folder, writer="study")
        for trial in trials:
            if trial.ended is not None:
                tags = {"reason": trial.reason} if trial.reason else {}
                outbox.end(trial.number, trial.state, at=trial.ended.timestamp(), tags=tags)
        outbox.artifacts(None, artifacts)
        if self.process.stdin:
            self.process.stdin.close()
        try:
            self.process.wait(wait_s)
            result = json.loads((self.folder / "last_sync.json").read_text())
        except (subprocess.TimeoutExpired, OSError, ValueError):
            self.process.kill()
            return "it did not answer in time"
        return f"{result['error']}" if result["error"] else None


def mirror_arguments() -> list[str]:
    """Where MLflow is, as arguments of `python -m search.tracking`."""
    uri = default_uri(home())
    return ["--uri", uri, *([] if is_remote(uri) else ["--artifact-root", str(default_artifact_root(home()))])]
