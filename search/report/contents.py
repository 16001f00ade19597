"""Everything that the page of a study is made of, in one value. Pure."""

from dataclasses import dataclass

from search.analysis.cost import Cost, cost, seed_spread
from search.analysis.finalists import Judgement
from search.analysis.forecast import Forecast, forecast
from search.records import Search, StudyRecord
from search.report.charts.all import all_charts
from search.report.charts.chart import Chart
from search.report.evidence import Evidence

_NOTHING = Evidence()


@dataclass(frozen=True, eq=False)
class Contents:
    """A search and what is known of it; the page does without what is None or empty."""

    search: Search
    evidence: Evidence = _NOTHING
    """What was kept of its best trial."""
    judgement: Judgement | None = None
    """What its replicates have shown."""
    cost: Cost | None = None
    forecast: Forecast | None = None
    charts: tuple[Chart, ...] = ()

    @property
    def study(self) -> StudyRecord:
        """The search's own study."""
        return self.search.study

    @property
    def finalists(self) -> StudyRecord | None:
        """The study of its replicates."""
        return self.search.finalists

    @property
    def is_test_set_opened(self) -> bool:
        """Whether any network of this study was scored on the test set."""
        trials = (*self.study.trials, *(self.finalists.trials if self.finalists else ()))
        return any(t.evaluation is not None and t.evaluation.split == "test" for t in trials)


def contents(
    search: Search, evidence: Evidence = _NOTHING, judgement: Judgement | None = None
) -> Contents:
    """`search` with its charts, cost and prospects. The same values give the same contents."""
    return Contents(
        search,
        evidence,
        judgement,
        cost(search),
        _forecast(search, evidence),
        all_charts(search, judgement),
    )


def _forecast(search: Search, evidence: Evidence) -> Forecast | None:
    """The next hour's gain; None where nothing says how many validation images there are."""
    predictions = evidence.predictions
    if predictions is None or predictions.split != "validation":
        return None
    workers = search.study.spec.get("workers")
    n_workers = workers if isinstance(workers, int) and workers > 0 else 1
    return forecast(
        search.study.trials,
        n_validation=len(predictions.true),
        n_workers=n_workers,
        seed_spread=seed_spread(search.finalists),
    )
