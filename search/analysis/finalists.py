"""What came out when the finalists were trained again, as plain values."""

from dataclasses import dataclass
from statistics import fmean

import numpy as np

from search.analysis.baseline import DOCUMENT
from search.analysis.statistics import Difference, Interval
from search.records import ACCURACY, Objective
from search.strategies.front import nondominated


@dataclass(frozen=True)
class Finalist:
    """A trial of the search and its replicates, by values of the study's objective."""

    trial: int
    """Its number in the search."""
    rank: int | None
    """Its place in the leaderboard, by validation."""
    is_document: bool
    """It is the baseline: the document's own setting, trial 0."""
    is_extra: bool
    """It was trained again only for the gain over the baseline, not as one of the best."""
    search_value: float
    """On the validation images, as the search saw it."""
    interval: Interval | None
    """Mean and 95 % interval of `values`; None while there are none."""
    values: tuple[float, ...]
    """What each finished replicate scored on the test set."""
    n_wanted: int
    """Replicates asked for."""
    n_failed: int
    """Replicates that ended without a value."""
    optimism: float | None
    """By how much `search_value` is better than the mean of `values`."""
    p_value: float | None = None
    """Of no difference from the highest mean, corrected; None for that one and where untold."""
    tied_with_best: bool | None = None
    """Whether it has the highest mean, or only chance parts it from that; None where untold."""
    trained: tuple[int, int] | None = None
    """Of a baseline: the epochs that its replicates train, and those of its document."""
    accuracy: Interval | None = None
    """Of its test accuracy, where the objective is something else."""
    others: tuple[Interval | None, ...] = ()
    """Of its values by the study's other objectives, in their order; None of an unknown one."""

    @property
    def is_baseline(self) -> bool:
        """Whether gains are claimed over it: a baseline trained as its document trains it."""
        return self.is_document and not self.is_cut

    @property
    def is_cut(self) -> bool:
        """Whether it is a baseline that was not trained as its document trains it."""
        return self.trained is not None and self.trained[0] < self.trained[1]


@dataclass(frozen=True)
class Judgement:
    """The finalists in the order of validation; a baseline that is no finalist comes last."""

    rows: tuple[Finalist, ...]
    gain: Difference | None
    """By how much the champion's mean on the test set is better than the baseline's. Its p is not
    corrected: it is one question, asked before the test set was opened. None where they are the
    same, one has no value or the baseline was cut short.
    """
    n_test: int | None
    """Examples in the test set; None while no replicate was scored."""
    is_complete: bool
    """Every replicate has ended, well or not."""
    how: str
    """How all this was judged, in sentences."""
    baseline: str = DOCUMENT
    """What the baseline is called."""
    no_gain: str = ""
    """Why no gain over the baseline is claimed, a sentence; empty where one is, or may come yet."""
    objective: Objective = ACCURACY
    """What the values are of."""
    noun: str = "image"
    """What an example is called."""
    others: tuple[Objective, ...] = ()
    """What else the study is for; where there is any, no finalist is best or tied."""

    @property
    def optimism(self) -> float | None:
        """Mean of the finalists' optimism; no interval, for they share their images and luck."""
        values = [
            row.optimism for row in self.rows if row.optimism is not None and not row.is_extra
        ]
        return fmean(values) if len(values) > 1 else None

    @property
    def beaten(self) -> tuple[Finalist, ...]:
        """Those that another one's means on the test set beat by all objectives."""
        rows = [(row, self._scores(row)) for row in self.rows]
        valued = [(row, scores) for row, scores in rows if scores]
        if not self.others or not valued:
            return ()
        is_on = nondominated(np.array([scores for _, scores in valued]))
        return tuple(row for (row, _), on in zip(valued, is_on.tolist(), strict=True) if not on)

    def _scores(self, row: Finalist) -> list[float]:
        """Of `row`, by each objective, of which more is better; empty unless all are known."""
        intervals = [row.interval, *row.others]
        means = [interval.mean for interval in intervals if interval]
        objectives = (self.objective, *self.others)
        if len(means) < len(objectives):
            return []
        return [o.score(mean) for o, mean in zip(objectives, means, strict=True)]

    @property
    def champion(self) -> Finalist:
        """The finalist that validation ranks first. The test set has no say in it."""
        return self.rows[0]

    @property
    def best(self) -> Finalist | None:
        """The finalist with the best test mean, the better rank of equals; None without."""
        scores = [
            (self.objective.score(row.interval.mean), row) for row in self.rows if row.interval
        ]
        return max(scores, key=lambda scored: scored[0])[1] if scores else None
