"""Everything that the page of a study is made of, in one value. Pure."""

from dataclasses import dataclass

from search.analysis.cost import Cost, cost, seed_spread
from search.analysis.finalists import Finals
from search.analysis.forecast import Forecast, forecast
from search.records import StudyRecord
from search.report.charts.all import all_plots
from search.report.charts.chart import Plot
from search.report.evidence import Evidence

_NOTHING = Evidence()


@dataclass(frozen=True, eq=False)
class Contents:
    """A study and what is known of it; what isn't known yet is None or empty, and the page does
    without it.
    """

    study: StudyRecord
    evidence: Evidence = _NOTHING
    """What was kept of its best trial."""
    final: StudyRecord | None = None
    """The study of its replicates."""
    finals: Finals | None = None
    """What they have shown."""
    cost: Cost | None = None
    forecast: Forecast | None = None
    plots: tuple[Plot, ...] = ()

    @property
    def is_test_set_opened(self) -> bool:
        """Whether any network of this study was scored on the test set."""
        trials = (*self.study.trials, *(self.final.trials if self.final else ()))
        return any(t.evaluation is not None and t.evaluation.split == "test" for t in trials)


def contents(
    study: StudyRecord,
    evidence: Evidence = _NOTHING,
    final: StudyRecord | None = None,
    finals: Finals | None = None,
) -> Contents:
    """`study` with its figures, its cost and its prospects. The same values give the same
    contents.
    """
    return Contents(
        study,
        evidence,
        final,
        finals,
        cost(study, final),
        _forecast(study, evidence, final),
        all_plots(study, final, finals),
    )


def _forecast(study: StudyRecord, evidence: Evidence, final: StudyRecord | None) -> Forecast | None:
    """The next hour's gain; None where nothing says how many validation images there are."""
    found = evidence.predictions
    if found is None or found.split != "validation":
        return None
    workers = study.spec.get("workers")
    n_workers = workers if isinstance(workers, int) and workers > 0 else 1
    return forecast(
        study.trials,
        n_validation=len(found.true),
        n_workers=n_workers,
        seed_spread=seed_spread(final),
    )
