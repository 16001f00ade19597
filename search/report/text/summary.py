"""Study → the words and key numbers that open the page. Pure."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from search.analysis.baseline import baseline_cut, full_cost, printed_name
from search.analysis.finalists import Judgement
from search.analysis.ranking import best_trial, param_names, started_trials
from search.records import State, StudyRecord, TrialRecord, has_rank
from search.report.charts.chart import published_value
from search.report.charts.style import STATES
from search.report.contents import Contents
from search.report.text.appendix import failures
from search.report.text.clock import Elapsed, elapsed, elapsed_words
from search.report.text.code import code_words
from search.report.text.cost import advice_words, cost_words
from search.report.text.finalists import judgement_words
from search.report.text.majority import cautions
from search.study.finalist_costs import Rule
from search.words import count, duration, listing, percent, points, show

OPTIMISM = (
    "These are validation scores of a search. The best of many tries is an optimist’s number: some"
    " of its lead is luck."
)
UNOPENED = "The test set has not been opened."
_IN_WORDS = {
    State.COMPLETE: "complete",
    State.PRUNED: "pruned",
    State.RUNNING: "running",
    State.WAITING: "waiting",
    State.FAIL: "failed",
}


class Passage(NamedTuple):
    """Some sentences of plain text and what they are about."""

    about: str
    sentences: list[str]


class Tile(NamedTuple):
    """A key number: what it is, the number, and what qualifies it (empty where nothing does)."""

    label: str
    value: str
    note: str


def status(contents: Contents) -> tuple[str, str]:
    """Where the study stands, as (word, sentence): `running`, `unfinished` or `finished`."""
    trials, n_trials = started_trials(contents.study), contents.study.spec.get("n_trials")
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
        word, now = (
            "unfinished",
            "none training at the moment; the command that began the study goes on with it.",
        )
        return _all_failed(contents.study, begun) or (word, f"{begun}, {now}")
    why = f" ({contents.study.ended_by})" if contents.study.ended_by else ""
    return _all_failed(contents.study, begun) or _finals_status(contents, begun + why)


def story(contents: Contents) -> list[Passage]:
    """What the study found, in plain words, the most important first."""
    study, judgement = contents.study, contents.judgement
    trials = started_trials(study)
    if not trials:
        return [Passage("Result", ["No trial has been started yet."])]
    sentences = (
        judgement_words(judgement)
        if judgement
        else [*_result(study, contents), *_unopened(contents)]
    )
    n_first = (
        3 if judgement and not judgement.is_complete else 2
    )  # of an unfinished set that is told first
    passages = [
        Passage("Result", sentences[:n_first]),
        Passage("Caution", cautions(study, contents.evidence)),
        Passage("How sure", sentences[n_first:]),
        Passage("Setting", _setting(contents)),
        Passage(
            "Search",
            [
                *(_result(study, contents) if judgement else []),
                _states(trials),
                *code_words(study),
                *_published(study),
            ],
        ),
        Passage(
            "Cost",
            [
                *(cost_words(contents.cost) if contents.cost else []),
                elapsed_words(*_clocks(contents)),
            ],
        ),
        Passage("Going on", advice_words(contents.forecast) if contents.forecast else []),
    ]
    return [p for p in passages if p.sentences]


def headline(contents: Contents) -> list[Tile]:
    """The key numbers: accuracy, gains so far and to come, trials, training time."""
    trials = started_trials(contents.study)
    spent = contents.cost.replicates if contents.cost else None
    ahead = contents.forecast.gain if contents.forecast else None
    tiles = [
        *_scores(contents),
        Tile("trials started", f"{len(trials):,}", ", ".join(_counted(trials))),
    ]
    if ahead:
        ends = f"90 % interval {100 * ahead.low:.2f} to {100 * ahead.high:.2f}"
        tiles.append(
            Tile(f"may still come in {_span(ahead.horizon_s)}", f"+{points(ahead.expected)}", ends)
        )
    again = f", and {duration(spent.train_s)} for replicates" if spent and spent.n_trials else ""
    clock, clock_again = _clocks(contents)
    both = f"and {duration(clock_again.seconds)} for replicates" if clock_again.seconds else ""
    return [
        *tiles,
        Tile("wall-clock time", duration(clock.seconds), both),
        Tile(
            "training time", duration(sum(t.train_s for t in trials)), f"summed over trials{again}"
        ),
    ]


def _clocks(contents: Contents) -> tuple[Elapsed, Elapsed]:
    return elapsed(contents.study.trials), elapsed(
        contents.finalists.trials if contents.finalists else ()
    )


def as_of(contents: Contents) -> str | None:
    """When the last epoch ended, in UTC, or None. Same study, same page: no time of writing."""
    trials = (*contents.study.trials, *(contents.finalists.trials if contents.finalists else ()))
    last = max((e.at for t in trials for e in t.curve), default=None)
    return datetime.fromtimestamp(last, UTC).strftime("%Y-%m-%d %H:%M UTC") if last else None


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


def _finals_status(contents: Contents, begun: str) -> tuple[str, str]:
    has_finalists, judgement = Rule.of(contents.study.spec).finalists != 0, contents.judgement
    if judgement is None or judgement.is_complete:
        missing = judgement is None and has_finalists and best_trial(contents.study) is not None
        return (
            ("unfinished", f"{begun}; its finalists have not been trained again yet.")
            if missing
            else ("finished", f"{begun}.")
        )
    done, planned = (
        sum(len(row.values) + row.n_failed for row in judgement.rows),
        sum(row.n_wanted for row in judgement.rows),
    )
    running = (
        sum(t.state == State.RUNNING for t in contents.finalists.trials)
        if contents.finalists
        else 0
    )
    text = f"{begun}; {done} of {count(planned, 'replicate')} of its finalists done"
    if running:
        return "running", f"{text}, {running} training now."
    return "unfinished", f"{text}, none training at the moment."


def _unopened(contents: Contents) -> list[str]:
    if best_trial(contents.study) is None:
        return []
    if contents.is_test_set_opened:
        return [OPTIMISM]
    rule = Rule.of(contents.study.spec)
    if rule.finalists == 0:
        return [OPTIMISM, UNOPENED]
    which = {
        None: "best settings, as many as about the search’s own time pays for,",
        1: "best setting",
    }.get(rule.finalists, f"best {rule.finalists} settings")
    plan = (
        f"After the search, its {which} will be trained again on"
        f" {count(rule.n_replicates, 'fresh seed')} and"
    )
    return [OPTIMISM, UNOPENED, f"{plan} scored on it."]


def _scores(contents: Contents) -> list[Tile]:
    """Accuracy and gain: on validation images until the champion was scored on the test set."""
    judgement = contents.judgement
    best, document = best_trial(contents.study), _own(contents.study)
    label = f"over {printed_name(contents.study)}"
    if judgement and judgement.champion.interval:
        return _test_scores(judgement, label)
    gain, cut = "–", baseline_cut(contents.study)
    if (
        best
        and document
        and best.val_accuracy is not None
        and document.val_accuracy is not None
        and not cut
    ):
        gain = f"{100 * (best.val_accuracy - document.val_accuracy):+.2f} points"
    where = f"trial {best.number}, epoch {best.best_epoch}" if best else ""
    return [
        Tile("best validation accuracy", percent(best.val_accuracy if best else None), where),
        Tile(label, gain, f"not claimed: it had {cut}" if cut else "on validation images"),
    ]


def _test_scores(judgement: Judgement, label: str) -> list[Tile]:
    row, gain = judgement.champion, judgement.gain
    interval = row.interval
    note = "too few seeds for an interval"
    if interval and interval.low is not None and interval.high is not None:
        note = f"95 % interval over seeds {100 * interval.low:.2f} to {100 * interval.high:.2f}"
    tiles = [
        Tile(
            f"test accuracy, trial {row.trial}", percent(interval.mean if interval else None), note
        )
    ]
    if gain is None:
        itself = "it is that setting itself" if row.is_document else ""
        return [*tiles, Tile(label, "–", "not claimed, see below" if judgement.no_gain else itself)]
    ends = "too few replicates for an interval"
    if gain.low is not None and gain.high is not None:
        ends = f"95 % interval {100 * gain.low:+z.2f} to {100 * gain.high:+z.2f}"
    return [*tiles, Tile(label, f"{100 * gain.value:+z.2f} points", ends)]


def _span(seconds: float) -> str:
    return "an hour" if seconds == 3600 else duration(seconds)


def _own(study: StudyRecord) -> TrialRecord | None:
    return study.document if study.document and has_rank(study.document) else None


def _result(study: StudyRecord, contents: Contents) -> list[str]:
    best, document = best_trial(study), _own(study)
    if best is None or best.val_accuracy is None:
        return ["No trial has a validation accuracy yet."]
    word = "so far " if status(contents)[0] != "finished" else ""
    text = (
        f"The best setting {word}reached {percent(best.val_accuracy)} validation accuracy, at epoch"
        f" {best.best_epoch} of trial {best.number}."
    )
    name = printed_name(study)
    if document is None or document.val_accuracy is None:
        return [f"{text} {name.capitalize()} (trial 0) has no value to compare it with."]
    if best is document:
        return [f"{text} That is {name}: no other trial has beaten it."]
    gain = best.val_accuracy - document.val_accuracy
    if cut := baseline_cut(study):
        reached = f"{percent(document.val_accuracy)} in {cut}, to which the study’s limit cut it"
        claims = (
            f": no gain over it is claimed. To train it in full takes {full_cost(study, document)}"
        )
        claims = "" if contents.judgement else claims
        return [text, f"{name.capitalize()} (trial 0) reached {reached}{claims}."]
    if gain == 0:
        return [f"{text} {name.capitalize()} (trial 0) reached the same."]
    return [
        f"{text} That is {points(gain)} above {name} (trial 0, {percent(document.val_accuracy)})."
    ]


def _setting(contents: Contents) -> list[str]:
    """The chosen trial's parameters in words, and where the baseline differs."""
    trials = {t.number: t for t in contents.study.trials}
    best, document = best_trial(contents.study), contents.study.document
    epochs = Rule.of(contents.study.spec).baseline_epochs
    if contents.judgement:
        best = trials.get(contents.judgement.champion.trial, best)
    if best is None or not best.params:
        return []
    names = [n for n in param_names(contents.study) if n in best.params]
    text = f"Trial {best.number} has {listing([f'{n} {show(best.params[n])}' for n in names])}."
    if best is document:
        cut = baseline_cut(contents.study)
        return [f"{text} The study’s limit cut it in the search to {cut}."] if cut else [text]
    setting = dict(document.params) if document else {}
    setting |= {"epochs": epochs} if "epochs" in setting else {}
    changed = [
        f"{n} {show(setting[n])}"
        for n in names
        if n in setting and show(setting[n]) != show(best.params[n])
    ]
    return (
        [text, f"{printed_name(contents.study).capitalize()} has {listing(changed)} instead."]
        if changed
        else [text]
    )


def _counted(trials: list[TrialRecord]) -> list[str]:
    states = Counter(t.state for t in trials)
    return [f"{states[s]:,} {_IN_WORDS[s]}" for s in STATES if states[s]]


def _states(trials: list[TrialRecord]) -> str:
    text = f"Of {count(len(trials), 'started trial')}, {listing(_counted(trials))}. "
    text += f"Training took {duration(sum(t.train_s for t in trials))}, summed over trials."
    retried = sum(t.n_retries > 0 for t in trials)
    if retried:
        text += (
            f" {count(retried, 'trial')} lost a worker on the way and went on from the last epoch."
        )
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
