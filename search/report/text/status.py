"""Where a study stands, in words. Pure."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from search.analysis.ranking import best_trial, started_trials
from search.records import State, StudyRecord, TrialRecord, epochs_of
from search.report.charts.style import STATES
from search.report.contents import Contents
from search.report.text.appendix import failures
from search.study.finalist_costs import Rule
from search.words import count

_IN_WORDS = {
    State.COMPLETE: "complete",
    State.PRUNED: "pruned",
    State.RUNNING: "running",
    State.WAITING: "waiting",
    State.FAIL: "failed",
}


def status(contents: Contents) -> tuple[str, str]:
    """Where the study stands, as (word, sentence): `running`, `unfinished` or `finished`."""
    trials = started_trials(contents.study)
    n_trials = contents.study.spec.get("n_trials")
    running = sum(t.state == State.RUNNING for t in trials)
    begun = (
        f"{len(trials):,} of {count(n_trials, 'trial')} started"
        if isinstance(n_trials, int)
        else f"{len(trials):,} started"
    )
    if running:
        return "running", f"{begun}, {running} training now; every figure below may still change."
    if any(t.state == State.WAITING for t in trials) or (
        isinstance(n_trials, int) and len(trials) < n_trials and not _is_over(contents)
    ):
        word = "unfinished"
        now = "none training at the moment; the command that began the study goes on with it."
        return _all_failed(contents.study, begun) or (word, f"{begun}, {now}")
    why = f" ({contents.study.ended_by})" if contents.study.ended_by else ""
    return _all_failed(contents.study, begun) or _finalists_status(contents, begun + why)


def as_of(contents: Contents) -> str | None:
    """When the last epoch ended, in UTC, or None. Same study, same page: no time of writing."""
    trials = (*contents.study.trials, *(contents.finalists.trials if contents.finalists else ()))
    last = max((epoch.at for epoch in epochs_of(trials)), default=None)
    return datetime.fromtimestamp(last, UTC).strftime("%Y-%m-%d %H:%M UTC") if last else None


def state_counts(trials: Sequence[TrialRecord]) -> list[str]:
    """How many of `trials` are in each state, `3 complete`."""
    states = Counter(t.state for t in trials)
    return [f"{states[s]:,} {_IN_WORDS[s]}" for s in STATES if states[s]]


def _all_failed(study: StudyRecord, begun: str) -> tuple[str, str] | None:
    """What to say of a study in which no trial came to a value; None of any other."""
    groups = failures(study)
    if not groups or any(t.state != State.FAIL for t in study.trials):
        return None
    if study.ended_by:
        return (
            "failed",
            f"{begun}: {study.ended_by}. Once that is mended, its command goes on with the rest.",
        )
    (reason, trials), *others = groups
    share = f"{len(trials):,} of them by: " if others else ""
    return "failed", f"{begun}, and all of them failed, {share}{reason}."


def _is_over(contents: Contents) -> bool:
    """Whether the search ended before its last trial: finalists are chosen at the end only."""
    return contents.finalists is not None or bool(contents.study.ended_by)


def _finalists_status(contents: Contents, begun: str) -> tuple[str, str]:
    has_finalists = Rule.of(contents.study.spec).finalists != 0
    judgement = contents.judgement
    if judgement is None or judgement.is_complete:
        if judgement is None and has_finalists and best_trial(contents.study) is not None:
            return "unfinished", f"{begun}; its finalists have not been trained again yet."
        return "finished", f"{begun}."
    done = sum(len(row.values) + row.n_failed for row in judgement.rows)
    planned = sum(row.n_wanted for row in judgement.rows)
    replicates = contents.finalists.trials if contents.finalists else ()
    running = sum(t.state == State.RUNNING for t in replicates)
    text = f"{begun}; {done} of {count(planned, 'replicate')} of its finalists done"
    if running:
        return "running", f"{text}, {running} training now."
    return "unfinished", f"{text}, none training at the moment."
