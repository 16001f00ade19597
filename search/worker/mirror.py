"""The MLflow mirror of a command: what the outbox is told of a study, and the process that sends it on."""

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.places import home
from search.study.environment import code_version
from search.study.records import StudyRecord, TrialRecord
from search.study.replicates import FINAL
from search.study.spec import StudySpec
from search.tracking.outbox import Input, Outbox, write_header
from search.tracking.tracker import Tracker
from search.tracking.uri import default_artifact_root, default_uri, is_remote
from search.worker.summaries import known_at, of_replicates, of_search

if TYPE_CHECKING:
    from search.report.finals import Finals

DRAIN_WAIT_S = 30.0
SEND_WAIT_S = 120.0
HURRIED_WAIT_S = 3.0
"""After Ctrl-C nobody wants to wait for MLflow."""
REGISTER_WAIT_S = 300.0
_DIGEST = 12
"""Characters of a data set's digest, as elsewhere; MLflow takes 36."""


@dataclass
class Mirror:
    """The process that sends this study's outbox on to MLflow while it runs."""

    folder: Path
    process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, spec: StudySpec, uid: str, device: str) -> "Mirror":
        """Begin to follow the outbox of a study, whose id in the storage is `uid`."""
        folder = home() / spec.name / "outbox"
        introduce(spec, uid, device)
        process = follow(
            ["-m", "search.tracking", str(folder), *mirror_arguments(), "--follow"],
            folder.parent / "logs" / "mlflow.log",
        )
        return cls(folder, process)

    def finish(self, trials: Iterable[TrialRecord], artifacts: list[Path], *, wait_s: float) -> str | None:
        """Send `artifacts`, how `trials` ended and what is left; what to tell the user if not all arrived in time.

        A worker may be killed between storing an end and telling of it; told twice, it does no harm.
        """
        conclude(self.folder, trials, artifacts)
        if not end_mirror(self.process, wait_s):
            return "it did not answer in time"
        try:
            result = json.loads((self.folder / "last_sync.json").read_text())
        except (OSError, ValueError):
            return "it ended without a word"
        return f"{result['error']}" if result["error"] else None


def follow(program: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a program that sends on what comes in, until its stdin closes; arguments of Python."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        return subprocess.Popen(  # noqa: S603
            [sys.executable, *program], stdin=subprocess.PIPE, stdout=file, stderr=file, start_new_session=True
        )


def end_mirror(process: subprocess.Popen[bytes], wait_s: float) -> bool:
    """Let a mirror send the rest, for at most `wait_s` seconds; whether it came to an end by itself."""
    if process.stdin:
        process.stdin.close()
    try:
        process.wait(wait_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False
    return True


def home_mirror(folder: str) -> tuple[str, ...]:
    """The program that follows all outboxes under the home `folder`, as arguments of Python."""
    return ("-m", "search.tracking", "--home", folder, *mirror_arguments(), "--follow")


def introduce(spec: StudySpec, uid: str, device: str) -> None:
    """Write into a study's outbox on this machine, once, what MLflow is told of it. `uid` is its id in the storage."""
    tags = spec.model_dump(include={"model", "data", "data_digest", "space_digest"})
    tags |= {"code_version": code_version(), "device": device, "kind": "replicates" if spec.replicates else "search"}
    if spec.name.endswith(FINAL):
        tags["search_study"] = spec.name.removesuffix(FINAL)
    settings = spec.model_dump(
        include={"n_trials", "epochs", "seed", "strategy", "validation_fraction", "precision"}
    )  # fmt: skip
    header = {"study": spec.name, "id": uid, "tags": tags, "params": settings, "inputs": data_inputs(spec)}
    write_header(home() / spec.name / "outbox", header)


def data_inputs(spec: StudySpec) -> list[Input]:
    """The parts of the study's data set that its trials see, and what for."""
    parts = {"training": "training", "validation": "validation"}
    if spec.replicates:
        known = {"train": "training", "all": "training+validation"}
        parts = {known[r.train_on]: "training" for r in spec.replicates}
        parts |= {r.evaluate: r.evaluate for r in spec.replicates if r.evaluate != "train"}
    digest = spec.data_digest[:_DIGEST]
    return [
        Input(name=f"{spec.data}.{part}", digest=digest, context=context, source=spec.data_source)
        for part, context in parts.items()
    ]


def tell_results(study: StudyRecord, final: StudyRecord | None = None, finals: "Finals | None" = None) -> None:
    """Write into the outboxes on this machine what has come of `study` and of `final`, its finalists' replicates.

    Told again, or by another host, it does no harm: the same trials give the same summaries, of the same time.
    """
    found = [(study, of_search(study, finals), known_at(study, final))]
    found += [(final, of_replicates(final, study), known_at(study, final))] if final else []
    for record, summaries, at in found:
        folder = home() / record.name / "outbox"
        if at and folder.exists():
            outbox = Outbox(folder, writer="study")
            for number, (tags, values) in summaries.items():
                outbox.summary(number, at=at, tags=tags, values=values)


def conclude(outbox_folder: Path, trials: Iterable[TrialRecord], artifacts: list[Path]) -> None:
    """Write into an outbox how `trials` ended, which a killed worker may not have told, and the study's `artifacts`."""
    outbox = Outbox(outbox_folder, writer="study")
    tell_ends(outbox, trials)
    if artifacts:
        outbox.artifacts(None, artifacts)


def tell_ends(tracker: Tracker, trials: Iterable[TrialRecord]) -> None:
    """Tell how those of `trials` that are over ended; told again, it does no harm."""
    for trial in trials:
        if trial.ended is not None:
            tags = {"reason": trial.reason} if trial.reason else {}
            tracker.end(trial.number, trial.state, at=trial.ended.timestamp(), tags=tags)


def finish_final(study: StudyRecord, *, wait_s: float) -> str | None:
    """Send what the outbox of a study of finalists on this machine has, and how its trials ended; as Mirror.finish."""
    folder = home() / study.name / "outbox"
    if not folder.exists():
        return None  # its workers were on other machines, which mirror it themselves
    conclude(folder, study.trials, [])
    error = send(folder, wait_s=wait_s)["error"]
    return f"{error}" if error else None


def send(outbox_folder: Path, *, wait_s: float = SEND_WAIT_S) -> Mapping[str, Any]:
    """Send an outbox to MLflow now: {n_sent, n_left, error}, n_left is -1 where that isn't known, error None if all
    went well.
    """
    last = outbox_folder / "last_sync.json"
    last.unlink(missing_ok=True)
    program = [sys.executable, "-m", "search.tracking", str(outbox_folder), *mirror_arguments()]
    try:
        subprocess.run(program, check=False, capture_output=True, timeout=wait_s)  # noqa: S603
        found: dict[str, Any] = json.loads(last.read_text())
    except (OSError, ValueError, subprocess.TimeoutExpired) as problem:
        return {"n_sent": 0, "n_left": -1, "error": str(problem)}
    return found


def register(study: str, *, wait_s: float = REGISTER_WAIT_S) -> tuple[str | None, str | None]:
    """Make the network of a study's champion the one that MLflow calls `champion`: its version there and None, or None
    and why not. In a process of its own, which loads the framework.
    """
    program = [sys.executable, "-m", "search.worker.champion", study]
    try:
        done = subprocess.run(program, check=False, capture_output=True, text=True, timeout=wait_s)  # noqa: S603
        found = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return None, f"it took more than {wait_s:g} s"
    except (OSError, ValueError):
        return None, "it ended without a word"
    return found["version"], found["error"]


def mirror_arguments() -> list[str]:
    """Where MLflow keeps artifacts, as arguments of `python -m search.tracking`, which finds its address itself: that
    may hold a password, and arguments are everybody's to read.
    """
    return [] if is_remote(default_uri(home())) else ["--artifact-root", str(default_artifact_root(home()))]
