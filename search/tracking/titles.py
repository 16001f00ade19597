"""What trackers call a trial."""

from typing import NamedTuple

from search.records import StudyRecord, TrialRecord


class Repeat(NamedTuple):
    """Which training of its setting a replicate is."""

    source: int | None
    """The trial that it repeats; None without a search, as in a suite of fixed settings."""
    seed: int
    """From 1."""


def repeat_of(study: StudyRecord, trial: TrialRecord) -> Repeat | None:
    """Which training `trial` is; None for a trial of a search."""
    replicates = study.spec.get("replicates")
    if not replicates:
        return None
    source = replicates[trial.number].get("source")
    before = replicates[: trial.number + 1]
    return Repeat(source, sum(replicate.get("source") == source for replicate in before))


def title(study: StudyRecord, trial: TrialRecord) -> str:
    """The name of a trial, for people: `trial-0019`, a replicate's `trial 19, seed 3`."""
    repeat = repeat_of(study, trial)
    if repeat is None:
        return f"trial-{trial.number:04d}"
    setting = "setting" if repeat.source is None else f"trial {repeat.source}"
    return f"{setting}, seed {repeat.seed}"
