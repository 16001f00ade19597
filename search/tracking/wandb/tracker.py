"""Weights & Biases as a tracker: a run per trial, in a group per study."""

import json
import logging
import netrc
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import wandb

from search.files import locked, write_text
from search.paths import home
from search.records import Epoch, Search, State, StudyRecord, TrialRecord
from search.study.settings import FINAL
from search.tracking.protocol import Ids, NotReadyError
from search.tracking.summaries import Summary, measured, of_replicates, of_search
from search.tracking.titles import repeat_of, title

logger = logging.getLogger(__name__)

_PROJECT = "gridless"
_OFFLINE = {"offline", "dryrun"}
_MARKS = ("finalist", "champion", "tied_with_best")
"""Tags of a summary that say yes or no."""
_QUIET = {
    # The mirror's own process, machine and folder tell nothing of the trial.
    "console": "off",
    "silent": True,
    "disable_code": True,
    "disable_git": True,
    "disable_job_creation": True,
    "init_timeout": 20.0,  # less than a command waits for its mirror
    "x_disable_machine_info": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
}


@dataclass(frozen=True)
class _Content:
    """What a run is to hold."""

    id: str
    name: str
    group: str
    job_type: str
    config: dict[str, Any]
    summary: dict[str, Any]
    tags: tuple[str, ...]
    notes: str
    epochs: tuple[Epoch, ...]
    has_failed: bool

    @property
    def digest(self) -> str:
        text = json.dumps(asdict(self), sort_keys=True, default=str)
        return sha256(text.encode()).hexdigest()


@dataclass
class _Open:
    """A run that is written to while its trial runs."""

    run: Any
    next_step: int
    """The first that it lacks."""


class WandbTracker:
    """Keeps studies in a project of Weights & Biases, or below GRIDLESS_HOME/wandb where
    WANDB_MODE is offline. See docs/trackers.md.
    """

    def __init__(self, ids: Ids) -> None:  # noqa: ARG002 (its runs' ids come from the study's)
        settings = wandb.setup().settings
        self._home = home()
        self._folder = self._home / "wandb"
        self._digests = self._folder / "gridless"
        self.is_local = settings.mode in _OFFLINE
        if settings.mode == "disabled":
            raise NotReadyError("WANDB_MODE=disabled keeps nothing; set it to online or offline")
        if not self.is_local and not _has_credentials(settings):
            raise NotReadyError(
                "Weights & Biases has no API key here; `wandb login` or WANDB_API_KEY gives it one,"
                f" WANDB_MODE=offline keeps the runs in {self._folder} for `wandb sync`"
            )
        self._project = settings.project or _PROJECT
        parts = (settings.base_url, settings.entity, self._project)
        self.target = str(self._folder) if self.is_local else "/".join(filter(None, parts))
        self._open: dict[str, _Open] = {}

    def trial_changed(
        self,
        study: StudyRecord,
        trial: TrialRecord,
        new: Sequence[Epoch],  # noqa: ARG002 (the run tells what it lacks)
    ) -> None:
        """Write what the trial's run lacks; offline all of it, whenever the trial stops."""
        if trial.params and (trial.curve or trial.state is not State.WAITING):
            content = _content(study, trial, Summary({}, measured(trial)))
            self._bring(content, is_running=trial.state is State.RUNNING)

    def study_ended(
        self,
        search: Search,
        files: Sequence[Path],  # noqa: ARG002 (they belong to no run)
    ) -> None:
        """Write the figures of the finalists and their replicates."""
        self._bring_all(search.study, of_search(search))
        if search.finalists:
            self._bring_all(search.finalists, of_replicates(search))

    def _bring_all(self, study: StudyRecord, summaries: Mapping[int | None, Summary]) -> None:
        whole = summaries.get(None)
        note = whole.tags.get("note", "") if whole else ""
        for trial in study.trials:
            summary = summaries.get(trial.number)
            if summary is None or not trial.params or not trial.curve:
                continue
            content = _content(study, trial, summary, note)
            # Most runs stay as they are; to look at each on the server would take hours.
            if self.is_local or content.tags or (self._digests / content.id).exists():
                self._bring(content, is_running=trial.state is State.RUNNING)

    def _bring(self, content: _Content, *, is_running: bool) -> None:
        """Write what the run lacks, and close it unless the trial runs."""
        if self.is_local and is_running:
            return
        self._digests.mkdir(parents=True, exist_ok=True)
        digest = self._digests / content.id
        with locked(self._folder / ".lock", wait=True):
            if digest.exists() and digest.read_text() == content.digest:
                return
            try:
                opened = self._open.get(content.id) or self._start(content)
            except wandb.errors.Error as error:
                if "deleted" not in str(error):
                    # Its service would take the run for one in use; open ones are resumed.
                    self._open.clear()
                    wandb.teardown(1)
                    raise
                logger.warning("%s was deleted in Weights & Biases and stays so", content.name)
                return
            self._open[content.id] = opened
            _write(opened, content)
            if not is_running:
                del self._open[content.id]
                opened.run.finish(exit_code=1 if content.has_failed else 0)
                write_text(digest, content.digest)

    def _start(self, content: _Content) -> _Open:
        """The run, made or resumed. Offline it is begun anew, since none can be resumed there."""
        if self.is_local:
            for folder in self._folder.glob(f"offline-run-*-{content.id}"):
                shutil.rmtree(folder)
        run = wandb.init(
            project=self._project,
            dir=self._home,
            id=content.id,
            name=content.name,
            group=content.group,
            job_type=content.job_type,
            config=content.config,
            allow_val_change=True,
            tags=content.tags,
            notes=content.notes,
            resume="allow",
            reinit="create_new",  # several are open at a time
            settings=wandb.Settings(**_QUIET),
        )
        return _Open(run, run.starting_step)


def _write(opened: _Open, content: _Content) -> None:
    run = opened.run
    for epoch in content.epochs:
        if epoch.step < opened.next_step:
            continue
        values = {**epoch.values, "seconds": epoch.seconds, "epoch": epoch.step}
        run.log({**values, "_timestamp": epoch.at}, step=epoch.step, commit=True)
        opened.next_step = epoch.step + 1
    run.tags, run.notes = content.tags, content.notes
    run.config.update(content.config, allow_val_change=True)
    run.summary.update(content.summary)


def _content(study: StudyRecord, trial: TrialRecord, summary: Summary, note: str = "") -> _Content:
    repeat = repeat_of(study, trial)
    facts = study.environments.get(trial.environments[-1], {}) if trial.environments else {}
    config = {
        "study": study.name.removesuffix(FINAL),
        "model": study.model,
        "data": study.data,
        "trial": trial.number,
        "source_trial": repeat.source if repeat else None,
        "seed": trial.seed,
        "device": trial.device,
        "code_version": facts.get("code_version"),
        "started": trial.started.isoformat() if trial.started else None,
    }
    params = trial.params if study.name.endswith(FINAL) else trial.trained_params
    tags = [mark for mark in _MARKS if summary.tags.get(mark) == "yes"]
    if trial.state in {State.PRUNED, State.FAIL}:
        tags.append(trial.state.lower())
    return _Content(
        id=f"{study.uid[:16]}-{trial.number:04d}",
        name=title(study, trial),
        group=study.name.removesuffix(FINAL),
        job_type="replicate" if repeat else "trial",
        config={name: value for name, value in config.items() if value is not None} | dict(params),
        summary={**summary.values, "state": trial.state},
        tags=tuple(tags),
        notes=note if "champion" in tags else trial.reason or "",
        epochs=trial.curve,
        has_failed=trial.state is State.FAIL,
    )


def _has_credentials(settings: Any) -> bool:
    """Whether wandb would find an API key, without asking anybody."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    if settings.api_key:
        return True
    host = urlsplit(settings.base_url).hostname or ""
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
