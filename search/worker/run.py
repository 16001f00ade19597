"""One command's share of its studies: local workers and the MLflow mirror, from start to stop."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
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
from search.worker.local import Assignment, LocalWorkers
from search.worker.prepare import Plan

TICK_S = 1.0
DRAIN_WAIT_S = 30.0
SEND_WAIT_S = 120.0
HURRIED_WAIT_S = 3.0
"""After Ctrl-C nobody wants to wait for MLflow."""


class End(StrEnum):
    """Why a command stopped working on its study."""

    DONE = "done"
    TIMEOUT = "timeout"


Show = Callable[[Sequence[Sequence[TrialRecord]]], None]
"""Is given the trials of each study every second."""


def run(
    plans: Sequence[Plan], ledgers: Sequence[Ledger], workers: LocalWorkers, *, mlflow: bool, show: Show,
    timeout_s: float | None = None,
) -> End:  # fmt: skip
    """Serve the studies of `plans`, each with its ledger, by `workers` until all are over or the time is.

    However it ends, KeyboardInterrupt included, the workers have given their trials back before it returns.
    Raises StudyError when workers ended before the studies were over.
    """
    began = time.monotonic()
    workers.go([_assignment(plan) for plan in plans], storage=ledgers[0].storage.url, mlflow=mlflow)
    try:
        while workers.check():
            _show(ledgers, show)
            if timeout_s is not None and time.monotonic() - began > timeout_s:
                return End.TIMEOUT
            time.sleep(TICK_S)
        trouble = workers.trouble()
    finally:
        workers.stop()
    _show(ledgers, show)
    if trouble and not all(_is_over(p, ledger.trials()) for p, ledger in zip(plans, ledgers, strict=True)):
        raise StudyError(trouble)
    return End.DONE


def _assignment(plan: Plan) -> Assignment:
    tests = any(replicate.evaluate == "test" for replicate in plan.spec.replicates)
    return Assignment(plan.spec.name, str(plan.data.folder), str(plan.data.test_folder) if tests else None)


def _is_over(plan: Plan, trials: Sequence[TrialRecord]) -> bool:
    return len(trials) >= plan.spec.n_trials and all(t.state in {"COMPLETE", "PRUNED", "FAIL"} for t in trials)


def _show(ledgers: Sequence[Ledger], show: Show) -> None:
    try:
        show([ledger.trials() for ledger in ledgers])
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
        introduce(plan, uid)
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
        conclude(self.folder, trials, artifacts)
        if self.process.stdin:
            self.process.stdin.close()
        try:
            self.process.wait(wait_s)
            result = json.loads((self.folder / "last_sync.json").read_text())
        except (subprocess.TimeoutExpired, OSError, ValueError):
            self.process.kill()
            return "it did not answer in time"
        return f"{result['error']}" if result["error"] else None


def introduce(plan: Plan, uid: str) -> None:
    """Write into the outbox of `plan`'s study, whose id in the storage is `uid`, what MLflow is told of the study."""
    spec = plan.spec
    tags = spec.model_dump(include={"model", "data", "data_digest", "space_digest"})
    tags |= {"code_version": code_version(), "device": plan.devices[0].name}
    tags |= {"kind": "replicates" if spec.replicates else "search"}
    settings = spec.model_dump(
        include={"n_trials", "epochs", "seed", "strategy", "validation_fraction", "precision"}
    )  # fmt: skip
    write_header(plan.folder / "outbox", {"study": spec.name, "id": uid, "tags": tags, "params": settings})


def conclude(outbox_folder: Path, trials: Iterable[TrialRecord], artifacts: list[Path]) -> None:
    """Write into an outbox how `trials` ended, which a killed worker may not have told, and the study's `artifacts`."""
    outbox = Outbox(outbox_folder, writer="study")
    for trial in trials:
        if trial.ended is not None:
            tags = {"reason": trial.reason} if trial.reason else {}
            outbox.end(trial.number, trial.state, at=trial.ended.timestamp(), tags=tags)
    outbox.artifacts(None, artifacts)


def send(outbox_folder: Path) -> str | None:
    """Send an outbox to MLflow now; what went wrong, if anything did."""
    last = outbox_folder / "last_sync.json"
    last.unlink(missing_ok=True)
    try:
        subprocess.run(  # noqa: S603
            [sys.executable, "-m", "search.tracking", str(outbox_folder), *mirror_arguments()],
            check=False, capture_output=True, timeout=SEND_WAIT_S,
        )  # fmt: skip
        error = json.loads(last.read_text())["error"]
    except (OSError, ValueError, subprocess.TimeoutExpired) as problem:
        return str(problem)
    return str(error) if error else None


def mirror_arguments() -> list[str]:
    """Where MLflow is, as arguments of `python -m search.tracking`."""
    uri = default_uri(home())
    return ["--uri", uri, *([] if is_remote(uri) else ["--artifact-root", str(default_artifact_root(home()))])]
