"""A search and its replicates → `Judgement`: who is really better, and by how much."""

import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.analysis.baseline import baseline_name, full_cost, why_unranked
from search.analysis.finalists import Finalist, Judgement
from search.analysis.ranking import ranking
from search.analysis.statistics import (
    RESAMPLES,
    Difference,
    Interval,
    Runs,
    compare_all,
    holm,
    mean_interval,
)
from search.objectives import N_GROUPS, is_mean
from search.records import (
    ACCURACY,
    Objective,
    Search,
    State,
    StudyRecord,
    TrialRecord,
    has_rank,
)
from search.study.finalist_costs import Rule, choose, ranked
from search.study.finalists import replicates_of, sources, whole_baseline
from search.words import count

logger = logging.getLogger(__name__)
SIGNIFICANCE = 0.05
_ENDED = (State.COMPLETE, State.FAIL, State.PRUNED)
_MEANS = (
    "Each test {title} is a mean over replicates that differ in their seed only, trained on all"
    " images but the test set; its 95 % interval is Student’s t over them."
)
_SINGLE = "by McNemar’s exact test between two single replicates, else "
_GROUPS = (
    "Since {title} is no mean over images, the bootstrap draws the jackknife’s pseudo-values of"
    " {n} groups of them in the place of images (Efron & Stein 1981)."
)
_OVER = {
    "images and seeds": (
        "A difference counts only if neither other seeds alone (Welch’s t test) nor other seeds"
        f" and other test images together (paired bootstrap over the images, {RESAMPLES:,}"
        " resamples, its error added to that of the seeds) would easily have turned it around; the"
        " larger p and the wider interval are given."
    ),
    "images": (
        "Where a side has one replicate only, its seed can’t be judged, and a difference is tested"
        " over the test images alone: {single}by the paired bootstrap."
    ),
    "seeds": (
        "Where predictions can’t be read or don’t fit the recorded {values}, a difference is"
        " tested over the seeds alone, on these very test images, by Welch’s t test (by a"
        " permutation test where no replicate differs from its like)."
    ),
}


Shares = Mapping[int, NDArray[Any]]
"""By number of the replicate trial: what each test image, or group of them, has to its value, in
the order of the test set; for accuracy, whether it was right.
"""


def judge(search: Search, shares: Shares, noun: str = "image") -> Judgement | None:
    """Compare the finalists of `search` by their replicates; an example is called `noun`.

    Of `shares`, those whose length or mean is not that of the recorded score are not used; a
    setting without any is judged by seeds alone. Differences from the best mean are corrected by
    Holm over all pairs, not only those with the best: which one that is was read from the same
    values. None where nothing was replicated, or there is no test set. Raises InputError when
    another version wrote the replicates.
    """
    study = search.study
    if not study.spec.get("has_test", True):
        return None
    trials = {t.number: t for t in search.finalists.trials} if search.finalists else {}
    n_test = _n_test(list(trials.values()))
    rule = Rule.of(study.spec)
    replicates = _by_source(search)
    n_best = len(replicates.keys() - {0}) + 1 if rule.finalists is None else rule.finalists
    whole = whole_baseline(search)
    rows: list[Finalist] = []
    runs: list[Runs] = []
    for place, source in enumerate(ranking(study), start=1):
        if numbers := replicates.get(source.number):
            trainings = [trials.get(n) for n in numbers]
            row = _finalist(source, place if has_rank(source) else None, n_best, trainings)
            is_baseline = row.is_document and rule.baseline_epochs is not None
            rows.append(_as_baseline(row, search, numbers, whole) if is_baseline else row)
            runs.append(_runs([t for t in trainings if t], shares, n_test))
    if not rows:
        return None
    missing = {t.number for t in _chosen(rule, study.trials)} - {row.trial for row in rows}
    is_complete = not missing and all(
        len(row.values) + row.n_failed == row.n_wanted for row in rows
    )
    order = sorted(range(len(rows)), key=lambda i: rows[i].is_extra)
    judgement = Judgement(
        tuple(rows[i] for i in order),
        None,
        n_test,
        is_complete,
        "",
        objective=study.objective,
        noun=noun,
        others=study.others,
    )
    compared = _compared(judgement, [runs[i] for i in order])
    name = baseline_name(study)
    return replace(compared, baseline=name, no_gain=_no_gain(name, rule, compared, study))


def _chosen(rule: Rule, trials: Sequence[TrialRecord]) -> Sequence[TrialRecord]:
    """The finalists that there must be: only the first where cost decides how many."""
    return (
        ranked(trials)[:1]
        if rule.finalists is None
        else choose(rule, trials).trials[: rule.finalists]
    )


def _as_baseline(
    row: Finalist, search: Search, numbers: Sequence[int], whole: set[int]
) -> Finalist:
    """`row` with the epochs that it was trained for."""
    study = search.study
    epochs = Rule.of(study.spec).baseline_epochs or 0
    replicates = replicates_of(search)
    if numbers[0] in whole or replicates[numbers[0]].is_pilot:
        was_cut = epochs > max(
            (t.total_epochs or 0 for t in study.trials if t.number == 0), default=0
        )
        # What the search saw of it was another, shorter training.
        return replace(row, trained=(epochs, epochs), optimism=None if was_cut else row.optimism)
    return replace(row, trained=(replicates[numbers[0]].last_epoch, epochs))


def _no_gain(name: str, rule: Rule, judgement: Judgement, study: StudyRecord) -> str:
    """Why no gain over the baseline is claimed, and what one would take; empty where one may be."""
    baseline = next((row for row in judgement.rows if row.is_document), None)
    first = next((t for t in study.trials if t.number == 0), None)
    if rule.baseline_epochs is None:
        return ""
    if baseline and baseline.is_baseline:
        if baseline is judgement.champion or baseline.n_failed < baseline.n_wanted:
            return ""
        return (
            f"No gain over {name} can be told: none of its {count(baseline.n_wanted, 'replicate')}"
            " ended well."
        )
    if first is None or not has_rank(first):
        return f"No gain over {name} can be told: trial 0 {why_unranked(first)}."
    why = "it was left out"
    if baseline and baseline.trained:
        why = "it was cut to {} of its {} epochs".format(*baseline.trained)
    return (
        f"No gain over {name} is claimed: {why}. To train it in full takes"
        f" {full_cost(study, first)}; the same command with --finalists {rule.finalists or 1}, and"
        " time enough, does that."
    )


def _by_source(search: Search) -> dict[int, list[int]]:
    """Numbers of the replicates by their source; a pilot's for each replicate that awaits it."""
    numbers: dict[int, list[int]] = {}
    for number, source in sources(search).items():
        numbers.setdefault(source, []).append(number)
    for number, replicate in enumerate(replicates_of(search)):
        if replicate.is_pilot and replicate.source is not None:
            numbers.setdefault(replicate.source, [number] * Rule.of(search.study.spec).n_replicates)
    return numbers


def test_score(trial: TrialRecord) -> tuple[float, int] | None:
    """The value on the test set and its number of images, once the replicate is finished."""
    evaluation, value = trial.evaluation, trial.final_value
    if (
        trial.state != State.COMPLETE
        or evaluation is None
        or value is None
        or evaluation.split != "test"
        or not math.isfinite(value)
        or (trial.objective.is_fraction and not 0 <= value <= 1)
    ):
        return None
    return value, evaluation.n


def _finalist(
    source: TrialRecord, rank: int | None, n_best: int, replicates: Sequence[TrialRecord | None]
) -> Finalist:
    begun = [t for t in replicates if t]
    objective = source.objective
    values = tuple(value for _, value, _ in _scored(begun))
    interval = mean_interval(values, is_fraction=objective.is_fraction) if values else None
    search = float(source.value or 0.0)  # it was chosen by one
    return Finalist(
        trial=source.number,
        rank=rank,
        is_document=source.number == 0,
        is_extra=source.number == 0 and rank is not None and 0 < n_best < rank,
        search_value=search,
        interval=interval,
        values=values,
        n_wanted=len(replicates),
        # A pilot that came to a good end has replicates soon.
        n_failed=sum(t.state in _ENDED and t.evaluation is None for t in begun),
        optimism=objective.score(search - interval.mean) if interval else None,
        accuracy=_accuracy(begun) if objective != ACCURACY else None,
        others=tuple(_other(begun, other) for other in source.others),
    )


def _other(replicates: Sequence[TrialRecord], objective: Objective) -> Interval | None:
    """The mean of another objective over those that are scored: of the test set, or a fact."""
    values = [t.final_value_of(objective) for t, _, _ in _scored(replicates)]
    measured = [value for value in values if value is not None]
    return mean_interval(measured, is_fraction=objective.is_fraction) if measured else None


def _accuracy(replicates: Sequence[TrialRecord]) -> Interval | None:
    """The mean accuracy of those that are scored, on the test set; None of numbers."""
    evaluations = [t.evaluation for t, _, _ in _scored(replicates)]
    accuracies = [e.accuracy for e in evaluations if e and e.accuracy is not None]
    return mean_interval(accuracies) if accuracies else None


def _runs(replicates: Sequence[TrialRecord], shares: Shares, n_test: int | None) -> Runs:
    scored = _scored(replicates)
    kept = mean_shares([t for t, _, n in scored if n == n_test], shares)
    is_fraction = all(t.objective.is_fraction for t in replicates)
    return Runs(tuple(value for _, value, _ in scored), kept, is_fraction)


def _scored(replicates: Sequence[TrialRecord]) -> list[tuple[TrialRecord, float, int]]:
    """Those that have a `test_score`, with it."""
    scores = [(t, test_score(t)) for t in replicates]
    return [(t, *score) for t, score in scores if score]


def mean_shares(replicates: Sequence[TrialRecord], shares: Shares) -> NDArray[np.float64] | None:
    """The mean of `shares` over scored `replicates`; None without predictions."""
    # An older file than the score would pair other predictions with it.
    kept = [
        shares[t.number] for t in replicates if t.number in shares and _fit(shares[t.number], t)
    ]
    means: NDArray[np.float64] | None = np.mean(kept, axis=0) if kept else None
    return means


def _fit(shares: NDArray[Any], replicate: TrialRecord) -> bool:
    """Whether `shares` can be of what `replicate` scored."""
    evaluation, value = replicate.evaluation, replicate.final_value
    if evaluation is None or value is None:
        return False
    if not is_mean(replicate.objective) and len(shares) == min(evaluation.n, N_GROUPS):
        return True
    if len(shares) != evaluation.n:
        return False
    if shares.dtype == bool:
        return int(np.count_nonzero(shares)) == round(value * evaluation.n)
    # float32 has seven digits.
    return math.isclose(float(shares.mean(dtype=float)), value, rel_tol=1e-5, abs_tol=1e-9)


def _n_test(trials: Sequence[TrialRecord]) -> int | None:
    common = Counter(n for _, _, n in _scored(trials)).most_common(1)
    return common[0][0] if common else None


def _compared(judgement: Judgement, runs: Sequence[Runs]) -> Judgement:
    """`judgement` with the standing of each row and the gain; `runs` are those of its rows."""
    rows = judgement.rows
    valued = [i for i, row in enumerate(rows) if row.values]
    pairs = compare_all([runs[i] for i in valued])
    by_trial = {
        frozenset((rows[valued[i]].trial, rows[valued[j]].trial)): d for (i, j), d in pairs.items()
    }
    p_values = {key: d.p_value for key, d in by_trial.items() if d.p_value is not None}
    corrected = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    if judgement.best is None:
        return judgement
    best = judgement.best.trial
    judged = rows
    if not judgement.others:
        judged = tuple(
            _judged(row, best, corrected.get(frozenset((row.trial, best)))) for row in rows
        )
    baseline = next((row.trial for row in rows[1:] if row.is_baseline), None)
    gain = None if baseline is None else by_trial.get(frozenset((rows[0].trial, baseline)))
    gain = gain and _better(gain, judgement.objective)
    sizes = {len(r.shares) for r in runs if r.shares is not None}
    are_groups = not is_mean(judgement.objective) and min(sizes, default=N_GROUPS) <= N_GROUPS
    how = _how(judgement, list(pairs.values()), len(p_values), are_groups=are_groups)
    return replace(judgement, rows=judged, gain=gain, how=how)


def _better(difference: Difference, objective: Objective) -> Difference:
    """`difference` of values as by how much the first is better."""
    if objective.is_maximized:
        return difference
    low = None if difference.high is None else -difference.high
    high = None if difference.low is None else -difference.low
    return difference._replace(value=-difference.value, low=low, high=high)


def _judged(row: Finalist, best: int, p_value: float | None) -> Finalist:
    if row.trial == best:
        return replace(row, tied_with_best=True)
    return replace(
        row, p_value=p_value, tied_with_best=None if p_value is None else p_value >= SIGNIFICANCE
    )


def _how(
    judgement: Judgement, pairs: Sequence[Difference], n_told: int, *, are_groups: bool
) -> str:
    objective = judgement.objective
    over = {pair.over for pair in pairs if pair.p_value is not None}
    sentences = [_MEANS, *(text for name, text in _OVER.items() if name in over)]
    if over & {"images", "images and seeds"} and are_groups:
        sentences.append(_GROUPS)
    text = (
        " ".join(sentences)
        .replace("image", judgement.noun)
        .format(
            title=objective.title,
            values="accuracies" if objective == ACCURACY else "values",
            n=min(judgement.n_test or N_GROUPS, N_GROUPS),
            single=_SINGLE if objective.is_fraction and is_mean(objective) else "",
        )
    )
    if not n_told:
        return text
    return (
        f"{text} P values are corrected by Holm for {count(n_told, 'comparison')} (all pairs); from"
        f" {SIGNIFICANCE} on, two settings are tied. The p of the gain over the baseline is not: it"
        " is a single question."
    )
