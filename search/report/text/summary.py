"""Study → the words that open the page. Pure."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from search.analysis.baseline import baseline_cut, full_cost, printed_name, why_unranked
from search.analysis.ranking import (
    best_trial,
    front,
    param_names,
    ranked_document,
    ranking,
    started_trials,
)
from search.records import StudyRecord, TrialRecord
from search.report.charts.chart import published_value
from search.report.contents import Contents
from search.report.text.code_changes import code_words
from search.report.text.constant_answer import cautions
from search.report.text.cost import advice_words, cost_words
from search.report.text.finalists import judgement_words
from search.report.text.status import state_counts, status
from search.report.text.wall_clock import clocks, elapsed_words
from search.study.finalist_costs import Rule
from search.words import (
    count,
    difference_text,
    duration,
    listing,
    percent,
    show,
    side,
    titles,
    value_text,
)

OPTIMISM = (
    "These are validation scores of a search. The best of many tries is an optimist’s number: some"
    " of its lead is luck."
)
_N_NAMED = 8
NO_TEST = "The data have no test set that could tell more."
UNOPENED = "The test set has not been opened."


class Passage(NamedTuple):
    """Some sentences of plain text and what they are about."""

    about: str
    sentences: list[str]


def story(contents: Contents) -> list[Passage]:
    """What the study found, in plain words, the most important first."""
    study = contents.study
    judgement = contents.judgement
    trials = started_trials(study)
    if not trials:
        return [Passage("Result", ["No trial has been started yet."])]
    n_first = 2
    result = _result(study, contents)
    if judgement is None:
        sentences = [*result, *_unopened(contents)]
        result = []
    else:
        sentences = judgement_words(judgement)
        n_first += not judgement.is_complete  # that comes before all else
    passages = [
        Passage("Result", sentences[:n_first]),
        Passage("Caution", cautions(study, contents.evidence)),
        Passage("How sure", sentences[n_first:]),
        Passage("Setting", _setting(contents)),
        Passage(
            "Search",
            [
                *result,
                *_front(study),
                *_broken(study),
                _states(trials),
                *code_words(study),
                *_published(study),
            ],
        ),
        Passage(
            "Cost",
            [
                *(cost_words(contents.cost) if contents.cost else []),
                elapsed_words(*clocks(contents.search)),
            ],
        ),
        Passage(
            "Going on",
            advice_words(contents.forecast, contents.evidence.noun) if contents.forecast else [],
        ),
    ]
    return [p for p in passages if p.sentences]


def _unopened(contents: Contents) -> list[str]:
    if best_trial(contents.study) is None:
        return []
    if contents.is_test_set_opened:
        return [OPTIMISM]
    rule = Rule.of(contents.study.spec)
    if not contents.study.spec.get("has_test", True):
        return [OPTIMISM, NO_TEST]
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


def _result(study: StudyRecord, contents: Contents) -> list[str]:
    best = best_trial(study)
    document = ranked_document(study)
    objective = study.objective
    if best is None or best.score is None:
        return [f"No trial has a validation {objective.title} yet."]
    word = "so far " if status(contents)[0] != "finished" else ""
    text = (
        f"The best setting {word}reached {value_text(objective, best.value)} validation"
        f" {objective.title}, at epoch {best.best_epoch} of trial {best.number}."
    )
    if document is None or document.score is None:
        why = why_unranked(study.document)
        return [f"{text} {printed_name(study).capitalize()} (trial 0) {why}: nothing to compare."]
    return _beside(study, contents, text, best, document)


def _beside(
    study: StudyRecord, contents: Contents, text: str, best: TrialRecord, document: TrialRecord
) -> list[str]:
    """`text` of the `best` trial, and how it stands to trial 0."""
    name = printed_name(study)
    objective = study.objective
    if best is document:
        return [f"{text} That is {name}: no other trial has beaten it."]
    gain = (best.score or 0.0) - (document.score or 0.0)
    reached = value_text(objective, document.value)
    if cut := baseline_cut(study):
        reached = f"{reached} in {cut}, to which the study’s limit cut it"
        claims = (
            f": no gain over it is claimed. To train it in full takes {full_cost(study, document)}"
        )
        claims = "" if contents.judgement else claims
        return [text, f"{name.capitalize()} (trial 0) reached {reached}{claims}."]
    if gain == 0:
        return [f"{text} {name.capitalize()} (trial 0) reached the same."]
    apart = f"{difference_text(objective, gain)} {side(objective, gain)}"
    return [f"{text} That is {apart} {name} (trial 0, {reached})."]


def _front(study: StudyRecord) -> list[str]:
    """Which trials no other beats by all objectives."""
    numbers = front(study)
    if not numbers:
        return []
    members = [str(t.number) for t in ranking(study) if t.number in numbers]
    goal = titles(study.objective, study.others)
    named = f"{listing(members[:_N_NAMED])}{' …' if len(members) > _N_NAMED else ''}"
    if len(members) == 1:
        return [f"Trial {named} is best by {goal} at once: the front has no other."]
    return [f"On the front of {goal} are {count(len(members), 'trial')}: {named}."]


def _broken(study: StudyRecord) -> list[str]:
    """How many trials a bound leaves without a rank."""
    n = sum(bool(trial.broken) for trial in study.trials)
    if not study.bounds:
        return []
    bounds = listing([f"{b.fact} ≤ {b.limit:g}" for b in study.bounds])
    if not n:
        return [f"All keep the bounds: {bounds}."]
    return [f"Without a rank for a broken bound ({bounds}): {count(n, 'trial')}."]


def _setting(contents: Contents) -> list[str]:
    """The chosen trial's parameters in words, and where the baseline differs."""
    trials = {t.number: t for t in contents.study.trials}
    best = best_trial(contents.study)
    document = contents.study.document
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


def _states(trials: list[TrialRecord]) -> str:
    text = f"Of {count(len(trials), 'started trial')}, {listing(state_counts(trials))}. "
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
