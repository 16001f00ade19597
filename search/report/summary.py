"""Study → the sentences and small tables that open and close the page. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from search.report.frame import best_trial, has_rank, param_names, space_params, started_trials
from search.report.plots import published_value
from search.report.style import STATES
from search.report.words import count, duration, listing, percent, points, show
from search.study.records import StudyRecord, TrialRecord

OPTIMISM = (
    "These are validation scores of a search. The best of many tries is an optimist’s number: some of its "
    "lead is luck. The test set has not been opened."
)
_IN_WORDS = {
    "COMPLETE": "complete",
    "PRUNED": "pruned",
    "RUNNING": "running",
    "WAITING": "waiting",
    "FAIL": "failed",
}


def status(study: StudyRecord) -> tuple[str, str]:
    """Where the study stands, as (word, sentence): `running`, `unfinished` or `finished`."""
    trials = started_trials(study)
    asked = study.spec.get("n_trials")
    states = Counter(t.state for t in trials)
    begun = (
        f"{len(trials):,} of {count(asked, 'trial')} started" if isinstance(asked, int) else f"{len(trials):,} started"
    )
    if states["RUNNING"]:
        return "running", f"{begun}, {states['RUNNING']} training now; every figure below may still change."
    if states["WAITING"] or (isinstance(asked, int) and len(trials) < asked):
        return (
            "unfinished",
            f"{begun}, none training at the moment; the command that began the study goes on with it.",
        )
    return "finished", f"{begun}."


def summary(study: StudyRecord) -> list[str]:
    """What the study found, in sentences of plain text, the most important first."""
    trials = started_trials(study)
    if not trials:
        return ["No trial has been started yet."]
    found = [*_result(study), _states(trials), *_published(study)]
    return [*found, OPTIMISM] if best_trial(study) else found


def headline(study: StudyRecord) -> list[tuple[str, str]]:
    """The key numbers as (label, value): best accuracy, gain over the document, trials, training time."""
    best, own = best_trial(study), _own(study)
    trials = started_trials(study)
    gain = "–"
    if best and own and best.val_accuracy is not None and own.val_accuracy is not None:
        gain = f"{100 * (best.val_accuracy - own.val_accuracy):+.2f} points"
    return [
        ("best validation accuracy", percent(best.val_accuracy if best else None)),
        ("over the document’s setting", gain),
        ("trials started", f"{len(trials):,}"),
        ("training time", duration(sum(t.train_s for t in trials))),
    ]


def failures(study: StudyRecord) -> list[tuple[str, list[TrialRecord]]]:
    """Failed trials by reason, the most frequent reason first."""
    groups: dict[str, list[TrialRecord]] = {}
    for t in started_trials(study):
        if t.state == "FAIL":
            groups.setdefault(t.reason or "no reason recorded", []).append(t)
    return sorted(groups.items(), key=lambda item: -len(item[1]))


def space_table(study: StudyRecord) -> list[dict[str, str]]:
    """The space as rows of text: name, type, range, when (its condition), document (trial 0's value)."""
    first = study.spec.get("first")
    own = first[0] if isinstance(first, list | tuple) and first else {}
    declared = space_params(study)
    return [
        {
            "name": name,
            "type": str(declared.get(name, {}).get("type", "not in the space")),
            "range": _range(declared.get(name, {})),
            "when": _condition(declared.get(name, {}).get("when")),
            "document": show(own[name]) if name in own else "–",
        }
        for name in param_names(study)
    ]


def spec_table(study: StudyRecord) -> list[tuple[str, str]]:
    """Budget, seed, digests and the rest of the spec as (name, value), the space left out."""
    kept = {k: v for k, v in study.spec.items() if k not in ("space", "first", "name")}
    return list(_flat(kept))


def as_of(study: StudyRecord) -> str | None:
    """When the last epoch ended, in UTC; None before the first. Not the time of writing: same study, same page."""
    last = max((e.at for t in study.trials for e in t.curve), default=None)
    return datetime.fromtimestamp(last, UTC).strftime("%Y-%m-%d %H:%M UTC") if last else None


def _own(study: StudyRecord) -> TrialRecord | None:
    return next((t for t in study.trials if t.number == 0 and has_rank(t)), None)


def _result(study: StudyRecord) -> list[str]:
    best, own = best_trial(study), _own(study)
    if best is None or best.val_accuracy is None:
        return ["No trial has a validation accuracy yet."]
    word = "so far " if status(study)[0] != "finished" else ""
    found = (
        f"The best setting {word}reached {percent(best.val_accuracy)} validation accuracy, at epoch {best.best_epoch} "
        f"of trial {best.number}."
    )
    if own is None or own.val_accuracy is None:
        return [f"{found} The document’s own setting (trial 0) has no value to compare it with."]
    if best is own:
        return [f"{found} That is the document’s own setting: no other trial has beaten it."]
    gain = best.val_accuracy - own.val_accuracy
    if gain == 0:
        return [f"{found} The document’s own setting (trial 0) reached the same."]
    return [f"{found} That is {points(gain)} above the document’s own setting (trial 0, {percent(own.val_accuracy)})."]


def _states(trials: list[TrialRecord]) -> str:
    states = Counter(t.state for t in trials)
    parts = [f"{states[s]:,} {_IN_WORDS[s]}" for s in STATES if states[s]]
    text = f"Of {count(len(trials), 'started trial')}, {listing(parts)}. "
    text += f"Training took {duration(sum(t.train_s for t in trials))} in all."
    retried = sum(t.n_retries > 0 for t in trials)
    if retried:
        text += f" {count(retried, 'trial')} lost a worker on the way and went on from the last epoch."
    return text


def _published(study: StudyRecord) -> list[str]:
    published: Mapping[str, Any] = study.published or {}
    value = published_value(study)
    if value is None:
        return []
    split = str(published.get("split", "unknown"))
    source = f" ({published['source']})" if published.get("source") else ""
    text = f"The document{source} publishes {percent(value)} on its {split} split."
    if not split.lower().startswith("val"):
        text += " That is another split than the one used here: compare the two with care."
    return [text]


def _range(declared: Mapping[str, Any]) -> str:
    if "choices" in declared:
        return ", ".join(show(c) for c in declared["choices"])
    if "value" in declared:
        return show(declared["value"])
    if "low" not in declared or "high" not in declared:
        return "–"
    text = f"{show(declared['low'])} to {show(declared['high'])}"
    text += ", log scale" if declared.get("log") else ""
    return text + (f", in steps of {show(declared['step'])}" if declared.get("step") else "")


def _condition(when: Any) -> str:
    if not isinstance(when, Mapping):
        return "always"
    return listing(
        [
            f"{k} = {' or '.join(show(v) for v in (vs if isinstance(vs, list | tuple) else [vs]))}"
            for k, vs in when.items()
        ]
    )


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", "none" if value is None else show(value)
