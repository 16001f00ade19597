"""Which of several studies is better, each by the setting that its validation chose. Pure."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np
import scipy
from numpy.typing import NDArray

from search.analysis.cost import Hours
from search.analysis.finalists import Finalist
from search.analysis.statistics import (
    RESAMPLES,
    Difference,
    Interval,
    Runs,
    compare_all,
    holm,
    mean_interval,
)
from search.records import ACCURACY, Objective

SIGNIFICANCE = 0.05
MIN_DATA_SETS = 3
MIN_MODELS = 3
"""From how many on ranks are tested."""


@dataclass(frozen=True, eq=False)
class Contender:
    """A study's champion, trained again and scored on the test set, by values of its objective.

    What is missing is None, and `missing` says why in words.
    """

    study: str
    model: str
    """As tables call it: with its study or what is pinned where the name alone is ambiguous."""
    data: str
    values: tuple[float, ...] = ()
    """What each finished replicate scored on the test set."""
    shares: NDArray[np.float64] | None = None
    """(n,) what each test image, or group of them, has to the mean of `values`; of accuracies the
    part of the replicates that got it right.
    """
    n_test: int | None = None
    n_wanted: int = 0
    """Replicates asked for."""
    n_failed: int = 0
    is_search: bool = True
    """Its setting was searched, and not fixed beforehand."""
    trial: int | None = None
    """The champion's number in the search."""
    search_value: float | None = None
    """What the search saw of it, on validation images."""
    gain: Difference | None = None
    """Over the document's own setting, trained again, too."""
    document: Finalist | None = None
    """The document's own setting, where that is not the champion itself."""
    n_trials: int | None = None
    n_params: int | None = None
    train_s: float | None = None
    """Training seconds of one replicate, the median."""
    search: Hours | None = None
    """Compute of the whole search; None where nothing was searched."""
    replicates: Hours | None = None
    """Compute of all its finalists' replicates."""
    device: str | None = None
    missing: str = ""
    note: str = ""
    objective: Objective = ACCURACY
    """What its study was for."""

    @property
    def interval(self) -> Interval | None:
        """Mean and 95 % interval of `values`; None while there are none."""
        if not self.values:
            return None
        return mean_interval(self.values, is_fraction=self.objective.is_fraction)

    @property
    def mean(self) -> float:
        """The mean of `values`; NaN while there are none."""
        # Means of the same fractions in another order differ only beyond these decimals; a tie must
        # stay one.
        return round(fmean(self.values), 12) if self.values else math.nan

    @property
    def score(self) -> float:
        """The mean as a number of which more is better; −inf while there is none."""
        return self.objective.score(self.mean) if self.values else -math.inf


@dataclass(frozen=True)
class Row:
    """A contender and how it stands to the others on its data set."""

    contender: Contender
    rank: float | None = None
    """By the mean of its values on its data set; 1 is best, equals share theirs; None without."""
    p_value: float | None = None
    """Of no difference from the best mean, corrected; None for that one and where untold."""
    tied_with_best: bool | None = None
    """Whether chance explains that its mean is not the best, or it is; None where untold."""

    @property
    def is_best(self) -> bool:
        """Whether its mean is the best of those on its data set."""
        return bool(self.tied_with_best) and self.p_value is None


@dataclass(frozen=True)
class Ranks:
    """Models over several data sets, by the mean of their ranks on each, best first."""

    models: tuple[tuple[str, float], ...]
    """Each with its mean rank."""
    data: tuple[str, ...]
    left_out: tuple[str, ...]
    """Models that lack a value on some of the data sets."""
    p_value: float | None = None
    """Of all models being alike, by Friedman's test; None with too few data sets or models."""
    critical: float | None = None
    """Mean ranks that are less apart can't be told apart: Nemenyi's critical difference at 5 %."""


@dataclass(frozen=True)
class Comparison:
    """What came out, a row per study, by data set and there by mean value, the best first."""

    rows: tuple[Row, ...]
    ranks: Ranks | None
    """None with fewer than two data sets or models that have a value on all."""
    how: str
    """How all this was judged, in sentences."""

    @property
    def objective(self) -> Objective:
        """What all of them were for."""
        return self.rows[0].contender.objective

    @property
    def data(self) -> list[str]:
        """The data sets in their order."""
        return list(dict.fromkeys(row.contender.data for row in self.rows))

    def on(self, data: str) -> list[Row]:
        """The rows of one data set, best first."""
        return [row for row in self.rows if row.contender.data == data]


def compare_studies(contenders: Sequence[Contender]) -> Comparison:
    """Judge `contenders`, one or more, by data set, and over data sets by their ranks.

    All must be for one objective; those on one data set must have been scored on the same test
    images in the same order. P values are those of `compare_all`, corrected by Holm over all pairs
    of a data set, since which mean is best was read from the same values. Raises ValueError
    where `shares` on one data set differ in length.
    """
    rows: list[Row] = []
    over: set[str] = set()
    for data in dict.fromkeys(c.data for c in contenders):
        entrants = sorted((c for c in contenders if c.data == data), key=lambda c: -c.score)
        valued = [c for c in entrants if c.values]
        pairs = compare_all([Runs(c.values, c.shares, c.objective.is_fraction) for c in valued])
        over |= {pair.over for pair in pairs.values() if pair.p_value is not None}
        rows += [*_judged(valued, pairs), *(Row(c) for c in entrants if not c.values)]
    objective = next((c.objective for c in contenders), ACCURACY)
    return Comparison(tuple(rows), _ranks(rows), _how(over, objective))


def _judged(contenders: Sequence[Contender], pairs: dict[tuple[int, int], Difference]) -> list[Row]:
    p_values = {key: pair.p_value for key, pair in pairs.items() if pair.p_value is not None}
    corrected = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    places = scipy.stats.rankdata([-c.score for c in contenders])
    rows = []
    for i, contender in enumerate(contenders):
        p_value = corrected.get((0, i))
        tied = None if p_value is None else p_value >= SIGNIFICANCE
        if i == 0:
            tied = True
        rows.append(Row(contender, float(places[i]), p_value, tied))
    return rows


def _ranks(rows: Sequence[Row]) -> Ranks | None:
    data = list(dict.fromkeys(r.contender.data for r in rows if r.contender.values))
    means = {
        (r.contender.model, r.contender.data): r.contender.score for r in rows if r.contender.values
    }
    models = list(dict.fromkeys(r.contender.model for r in rows))
    complete = [m for m in models if all((m, d) in means for d in data)]
    if len(data) < 2 or len(complete) < 2:
        return None
    scores = np.array([[-means[m, d] for m in complete] for d in data])
    places = scipy.stats.rankdata(scores, axis=1)
    mean_ranks = sorted(
        zip(complete, places.mean(axis=0).tolist(), strict=True), key=lambda item: item[1]
    )
    left_out = tuple(m for m in models if m not in complete)
    if len(data) < MIN_DATA_SETS or len(complete) < MIN_MODELS or np.ptp(places) == 0:
        return Ranks(tuple(mean_ranks), tuple(data), left_out)
    p_value = float(scipy.stats.friedmanchisquare(*scores.T).pvalue)
    return Ranks(
        tuple(mean_ranks),
        tuple(data),
        left_out,
        p_value,
        critical_difference(len(complete), len(data)),
    )


def critical_difference(n_models: int, n_data: int) -> float:
    """Nemenyi's critical difference of mean ranks at 5 %: q/√2 · √(k (k + 1) / 6 N).

    Source: Demšar, "Statistical comparisons of classifiers over multiple data sets", JMLR 7 (2006),
    1–30.
    """
    q = float(scipy.stats.studentized_range.ppf(1 - SIGNIFICANCE, n_models, math.inf))
    return q / math.sqrt(2) * math.sqrt(n_models * (n_models + 1) / (6 * n_data))


_OVER = {
    "images and seeds": (
        "Two models are told apart only if neither other seeds alone (Welch’s t test) nor other"
        f" seeds and other test images together (paired bootstrap over the images, {RESAMPLES:,}"
        " resamples, its error added to that of the seeds) would easily have turned the difference"
        " around; the larger p counts."
    ),
    "images": (
        "Where a side has one replicate only, its seed can’t be judged, and the test is over the"
        " test images alone."
    ),
    "seeds": (
        "Where predictions were not kept or don’t fit the recorded {values}, the test is over the"
        " seeds alone."
    ),
}


def _how(over: set[str], objective: Objective) -> str:
    sentences = [
        "Each study is represented by the setting that its validation ranks first; the test set"
        " chose none of them. Test {title} is the mean over replicates of it that differ in their"
        " seed only, trained on all images but the test set, with its 95 % interval by Student’s t"
        " over them."
    ]
    sentences += [text for name, text in _OVER.items() if name in over]
    if over:
        sentences.append(
            f"P values are corrected by Holm for all pairs on a data set; from {SIGNIFICANCE} on,"
            " two models are tied. Which of several has the {best} mean was read from the test"
            " set itself, so that mean is a little too {good} for new images."
        )
    return " ".join(sentences).format(
        title=objective.title,
        values="accuracies" if objective == ACCURACY else "values",
        best="highest" if objective.is_maximized else "lowest",
        good="high" if objective.is_maximized else "low",
    )


def labelled(contenders: Sequence[Contender]) -> list[Contender]:
    """`contenders`, with their study in the model's name where a data set has the model twice."""
    counts = Counter((c.model, c.data) for c in contenders)
    twice = {model for (model, _), n in counts.items() if n > 1}
    return [
        replace(c, model=f"{c.model} ({c.study})") if c.model in twice else c for c in contenders
    ]
