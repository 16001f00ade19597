"""Entrants of a comparison, with what their workers kept → its contenders."""

from collections.abc import Sequence
from statistics import median

from search.analysis.comparison import Contender, labelled
from search.analysis.cost import cost
from search.analysis.finalists import Judgement
from search.analysis.judging import Shares, judge, mean_shares
from search.analysis.ranking import started_trials
from search.artifacts import join
from search.errors import InputError
from search.paths import artifacts
from search.records import Search, State, StudyRecord, TrialRecord, has_rank
from search.report.comparison.entrants import Entrant, differences, label
from search.report.read_evidence import read_shares
from search.study.finalist_costs import Rule
from search.study.finalists import sources
from search.study.settings import FINAL
from search.study.suite import System


def contenders(entrants: Sequence[Entrant]) -> list[Contender]:
    """What each of `entrants` brings to the comparison, with what their workers kept.

    Raises InputError where they can't be compared: on one data set with unlike images or splits, or
    when none has been scored on the test set.
    """
    records = [e.record for e in entrants if e.record]
    if problems := differences(records, [e.study for e in entrants if e.is_search]):
        raise InputError(problems)
    contenders = [
        _contender(e, read_shares(join(artifacts(e.study + FINAL), "evidence"), e.replicates))
        for e in entrants
    ]
    if not any(c.values for c in contenders):
        raise InputError(
            [
                f"nothing to compare yet: no test {contenders[0].objective.title}",
                *(f"{c.study}: {c.missing}" for c in contenders),
            ]
        )
    return labelled(contenders)


def _contender(entrant: Entrant, shares: Shares) -> Contender:
    system = entrant.system
    record = entrant.record
    split = system.evaluate if system else "test"
    if record is None or split != "test":
        missing = (
            "not run yet"
            if split == "test"
            else f"it is scored on the {split} images, not on the test set"
        )
        return Contender(
            entrant.study, entrant.model, entrant.data, is_search=entrant.is_search, missing=missing
        )
    if system and system.search is None:
        return _fixed(system, record, shares)
    return searched(Search(record, entrant.replicates), shares, system=system)


def searched(search: Search, shares: Shares, *, system: System | None = None) -> Contender:
    """The champion of `search`, with the shares of its replicates."""
    study = search.study
    judgement = judge(search, shares)
    champion = judgement.champion if judgement and judgement.champion.interval else None
    replicates = [] if champion is None else _replicates_of(search, champion.trial)
    spent = cost(search)
    return Contender(
        study=study.name,
        model=label(system) if system else study.model,
        data=study.data,
        values=champion.values if champion else (),
        shares=mean_shares(replicates, shares),
        n_test=judgement.n_test if judgement else None,
        n_wanted=champion.n_wanted if champion else 0,
        n_failed=champion.n_failed if champion else 0,
        trial=champion.trial if champion else None,
        search_value=champion.search_value if champion else None,
        gain=judgement.gain if judgement else None,
        document=(
            next((r for r in judgement.rows[1:] if r.is_baseline and r.interval), None)
            if judgement
            else None
        ),
        n_trials=len(started_trials(study)),
        n_params=next((t.n_params for t in replicates if t.n_params is not None), None),
        train_s=median(t.train_s for t in replicates) if replicates else None,
        search=spent.search.hours,
        replicates=spent.replicates.hours if spent.replicates else None,
        device=", ".join(dict.fromkeys(t.device for t in replicates if t.device)) or None,
        missing="" if champion else _missing(study, judgement),
        note=_later(judgement, champion is not None) if system is None else system.note,
        objective=study.objective,
    )


def _fixed(system: System, final: StudyRecord, shares: Shares) -> Contender:
    done = [t for t in final.trials if _is_scored(t)]
    return Contender(
        study=system.study,
        model=label(system),
        data=system.data,
        values=tuple(t.final_value for t in done if t.final_value is not None),
        shares=mean_shares(done, shares),
        n_test=next((t.evaluation.n for t in done if t.evaluation), None),
        n_wanted=system.seeds,
        n_failed=sum(t.state == State.FAIL for t in final.trials),
        is_search=False,
        n_params=next((t.n_params for t in done if t.n_params is not None), None),
        train_s=median(t.train_s for t in done) if done else None,
        replicates=cost(Search(final)).search.hours,
        device=", ".join(dict.fromkeys(t.device for t in done if t.device)) or None,
        missing="" if done else "no replicate of it is finished",
        note="; ".join(text for text in ("fixed setting, not searched", system.note) if text),
        objective=final.objective,
    )


def _missing(study: StudyRecord, judgement: Judgement | None) -> str:
    if not any(has_rank(t) for t in study.trials):
        return (
            f"no trial has a validation {study.objective.title} yet; the command that began the"
            " study goes on with it"
        )
    if judgement is None and Rule.of(study.spec).finalists == 0:
        return (
            "nothing was trained again for the test set; the same command with --finalists 1 does"
            " that"
        )
    if judgement is None:
        return (
            "its finalists have not been trained again yet; the command that began the study goes"
            " on with it"
        )
    row = judgement.champion
    ended = row.n_failed >= row.n_wanted
    return (
        "all replicates of its best setting failed"
        if ended
        else "no replicate of its best setting is finished yet"
    )


def _later(judgement: Judgement | None, is_scored: bool) -> str:
    if not judgement or not is_scored:
        return ""
    notes = []
    if judgement.champion.rank != 1:
        notes.append("a setting that is better by validation has not been trained again yet")
    if judgement.no_gain:
        notes.append(judgement.no_gain.rstrip("."))
    return "; ".join(notes)


def _replicates_of(search: Search, trial: int) -> list[TrialRecord]:
    """The scored replicates of trial number `trial`."""
    source = sources(search)
    scored = [t for t in search.finalists.trials if _is_scored(t)] if search.finalists else []
    return [t for t in scored if source.get(t.number) == trial]


def _is_scored(trial: TrialRecord) -> bool:
    return (
        trial.state == State.COMPLETE
        and trial.evaluation is not None
        and trial.evaluation.split == "test"
    )
