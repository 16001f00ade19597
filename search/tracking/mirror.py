"""The MLflow mirror of a command: what the outbox is told of a study, and the process that sends it
on.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from search.paths import home
from search.records import Search, StudyRecord, TrialRecord
from search.study.environment import code_version
from search.study.settings import FINAL
from search.study.spec import StudySpec
from search.tracking.outbox import LAST_SYNC, Input, Outbox, write_header
from search.tracking.protocol import Tracker
from search.tracking.summaries import of_replicates, of_search, time_of_last
from search.tracking.uri import default_artifact_root, default_uri, is_remote

if TYPE_CHECKING:
    from search.analysis.finalists import Judgement
    from search.report.study_report import Report

DRAIN_WAIT_S = 60.0
SEND_WAIT_S = 600.0
HURRIED_WAIT_S = 3.0
"""After Ctrl-C nobody wants to wait for MLflow."""
REGISTER_WAIT_S = 300.0
_LATE = "MLflow did not answer in time"
_DIGEST = 12
"""Characters of a data set's digest, as elsewhere; MLflow takes 36."""


class Sent(NamedTuple):
    """What came of sending outboxes on."""

    n_sent: int
    """Events."""
    n_left: int | None
    """Events that still wait; None where that isn't known."""
    error: str | None
    """What to tell the user; None if all went well."""


@dataclass
class Mirror:
    """The process that sends the outboxes of a study and of its finalists on to MLflow while they
    run.
    """

    outboxes: tuple[Path, ...]
    process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, spec: StudySpec, uid: str, device: str) -> "Mirror":
        """Begin to follow the outboxes of a study, whose id in the storage is `uid`."""
        introduce(spec, uid, device)
        outboxes = outboxes_of(spec.name)
        program = ["-m", "search.tracking", *map(str, outboxes), *mirror_arguments(), "--follow"]
        return cls(outboxes, follow(program, home() / spec.name / "logs" / "mlflow.log"))

    def finish(self, report: "Report", *, wait_s: float) -> str | None:
        """Send what came of the study and what is left; what to tell the user if not all arrived in
        time.
        """
        conclude(report)
        if not end_mirror(self.process, wait_s):
            return _LATE
        return _result(self.outboxes).error


def follow(program: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a program that sends on what comes in, until its stdin closes; arguments of Python."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        return subprocess.Popen(  # noqa: S603
            [sys.executable, *program],
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )


def end_mirror(process: subprocess.Popen[bytes], wait_s: float) -> bool:
    """Let a mirror send the rest, for at most `wait_s` seconds; whether it came to an end by
    itself.
    """
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
    """Write into a study's outbox on this machine, once, what MLflow is told of it. `uid` is its id
    in the storage.
    """
    tags = spec.model_dump(include={"model", "data", "data_digest", "space_digest"})
    tags |= {
        "code_version": code_version(),
        "device": device,
        "kind": "replicates" if spec.replicates else "search",
    }
    if spec.name.endswith(FINAL):
        tags["search_study"] = spec.name.removesuffix(FINAL)
    settings = spec.model_dump(
        include={"n_trials", "epochs", "seed", "strategy", "validation_fraction", "precision"}
    )
    header = {
        "study": spec.name,
        "id": uid,
        "tags": tags,
        "params": settings,
        "inputs": data_inputs(spec),
    }
    write_header(home() / spec.name / "outbox", header)


def data_inputs(spec: StudySpec) -> list[Input]:
    """The parts of the study's data set that its trials see, and what for."""
    parts = {"training": "training", "validation": "validation"}
    if spec.replicates:
        titles = {"train": "training", "all": "training+validation"}
        parts = {titles[r.train_on]: "training" for r in spec.replicates}
        parts |= {r.evaluate: r.evaluate for r in spec.replicates if r.evaluate != "train"}
    digest = spec.data_digest[:_DIGEST]
    return [
        Input(name=f"{spec.data}.{part}", digest=digest, context=context, source=spec.data_source)
        for part, context in parts.items()
    ]


def tell_results(search: Search, judgement: "Judgement | None" = None) -> None:
    """Write into the outboxes on this machine what has come of `search` and its replicates.

    Told again, or by another host, it does no harm: the same trials give the same summaries, of the
    same time.
    """
    at = time_of_last(search)
    if not at:
        return
    by_study = {search.study.name: of_search(search.study, judgement)}
    if search.finalists:
        by_study[search.finalists.name] = of_replicates(search)
    for study, summaries in by_study.items():
        folder = home() / study / "outbox"
        if folder.exists():
            outbox = Outbox(folder, writer="study")
            for number, (tags, values) in summaries.items():
                outbox.summary(number, at=at, tags=tags, values=values)


def outboxes_of(study: str) -> tuple[Path, ...]:
    """Where a study and its finalists have their outboxes on this machine, if they have one."""
    return tuple(home() / name / "outbox" for name in (study, study + FINAL))


def conclude(report: "Report") -> None:
    """Write into the outboxes here what has come of a study, its finalists and its report."""
    tell_results(report.search, report.judgement)
    conclude_study(report.study, report.paths.files)
    if report.search.finalists:
        conclude_study(report.search.finalists)


def conclude_study(study: StudyRecord, files: Sequence[Path] = ()) -> None:
    """Write into a study's outbox how its trials ended, and `files` to keep with it.

    A worker may have been killed between storing an end and telling of it.
    """
    folder = home() / study.name / "outbox"
    if not folder.exists():
        return  # its workers were on other machines, which mirror it themselves
    outbox = Outbox(folder, writer="study")
    tell_ends(outbox, study.trials)
    if files:
        outbox.artifacts(None, files)


def tell_ends(tracker: Tracker, trials: Iterable[TrialRecord]) -> None:
    """Tell how those of `trials` that are over ended; told again, it does no harm."""
    for trial in trials:
        if trial.ended is not None:
            tags = {"reason": trial.reason} if trial.reason else {}
            tracker.end(trial.number, trial.state, at=trial.ended.timestamp(), tags=tags)


def send(study: str, *, wait_s: float = SEND_WAIT_S) -> Sent:
    """Send what a study and its finalists have in their outboxes to MLflow now."""
    folders = [folder for folder in outboxes_of(study) if folder.is_dir()]
    for folder in folders:
        (folder / LAST_SYNC).unlink(missing_ok=True)
    program = [sys.executable, "-m", "search.tracking", *map(str, folders), *mirror_arguments()]
    try:
        subprocess.run(program, check=False, capture_output=True, timeout=wait_s)  # noqa: S603
    except subprocess.TimeoutExpired:
        return Sent(0, None, _LATE)
    return _result(folders)


def _result(outboxes: Iterable[Path]) -> Sent:
    """What a mirror has said of `outboxes` in the end, taken together."""
    results = []
    for folder in filter(Path.is_dir, outboxes):
        try:
            results.append(json.loads((folder / LAST_SYNC).read_text()))
        except (OSError, ValueError):
            results.append({"n_sent": 0, "n_left": -1, "error": _LATE})
    return Sent(
        sum(s["n_sent"] for s in results),
        None if any(s["n_left"] < 0 for s in results) else sum(s["n_left"] for s in results),
        "; ".join(sorted({s["error"] for s in results if s["error"]})) or None,
    )


def register(study: str, *, wait_s: float = REGISTER_WAIT_S) -> tuple[str | None, str | None]:
    """Make the network of a study's champion the one that MLflow calls `champion`: its version
    there and None, or None and why not. In a process of its own, which loads the framework.
    """
    program = [sys.executable, "-m", "search.tracking.mlflow.register", study]
    try:
        done = subprocess.run(program, check=False, capture_output=True, text=True, timeout=wait_s)  # noqa: S603
        answer = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return None, f"it took more than {wait_s:g} s"
    except (OSError, ValueError):
        return None, "it ended without a word"
    return answer["version"], answer["error"]


def mirror_arguments() -> list[str]:
    """Where MLflow keeps artifacts, as arguments of `python -m search.tracking`, which finds its
    address itself: that may hold a password, and arguments are everybody's to read.
    """
    return (
        []
        if is_remote(default_uri(home()))
        else ["--artifact-root", str(default_artifact_root(home()))]
    )
