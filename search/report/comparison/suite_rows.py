"""A suite and the storage → the rows of its comparison."""

from collections import Counter
from collections.abc import Sequence
from statistics import median

from search.errors import InputError
from search.records import State, StudyRecord, TrialRecord, epochs_of
from search.report.comparison.entrants import facts, label
from search.report.comparison.suite import ComparisonRow
from search.study.settings import FINAL
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.read import read_study
from search.study.suite import Suite, System


def comparison_rows(suite: Suite, storage: LedgerStorage) -> list[ComparisonRow]:
    """One row per system, in the suite's order; untrained ones have no values."""
    return [
        _row(system, _study(storage, system.study + FINAL), _study(storage, system.study))
        for system in suite.systems
    ]


def comparison_facts(suite: Suite, storage: LedgerStorage) -> dict[str, str]:
    """Hardware and versions that the suite's studies recorded, with all values that differ."""
    studies = [_study(storage, system.study + FINAL) for system in suite.systems]
    return facts(study for study in studies if study)


def _study(storage: LedgerStorage, name: str) -> StudyRecord | None:
    try:
        return read_study(storage, name)
    except InputError:
        return None  # not run yet


def _row(system: System, study: StudyRecord | None, first: StudyRecord | None) -> ComparisonRow:
    trials: Sequence[TrialRecord] = study.trials if study else ()
    untried = next((t for t in first.trials if t.state == State.FAIL), None) if first else None
    done = [t for t in trials if t.state == State.COMPLETE and t.evaluation]
    epochs = [epoch.seconds for epoch in epochs_of(done)]
    published = system.published
    splits = Counter(t.evaluation.split for t in done if t.evaluation)
    # As stored: the suite may ask for another by now.
    split = splits.most_common(1)[0][0] if splits else system.evaluate
    devices = dict.fromkeys(t.device for t in done if t.device)
    return ComparisonRow(
        model=label(system),
        data=system.data,
        published=published.value if published else None,
        published_split=published.split if published else None,
        published_source=published.source if published else None,
        split=split,
        values=tuple(
            t.evaluation.accuracy
            for t in done
            if t.evaluation and t.evaluation.split == split and t.evaluation.accuracy is not None
        ),
        n_wanted=system.seeds,
        n_failed=system.seeds if untried else sum(t.state == State.FAIL for t in trials),
        n_params=next((t.n_params for t in trials if t.n_params is not None), None),
        epochs=system.epochs,
        published_epochs=system.published_epochs,
        seconds_per_epoch=median(epochs) if epochs else None,
        device=", ".join(devices) or None,
        note="; ".join(n for n in (system.note, _stopped(system, done), _reason(untried)) if n),
    )


def _stopped(system: System, done: Sequence[TrialRecord]) -> str:
    trained = sorted({t.epochs for t in done})
    if not trained or trained == [system.epochs]:
        return ""
    return (
        f"stopped after {trained[0]}"
        + (f" to {trained[-1]}" if len(trained) > 1 else "")
        + " epochs"
    )


def _reason(untried: TrialRecord | None) -> str:
    return f"its first training failed: {untried.reason}" if untried else ""
