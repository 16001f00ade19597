"""A stored study as pandas frames: what `search.Study` reads."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from search.analysis.finalists import Judgement
from search.analysis.judging import judge
from search.analysis.ranking import best_trial
from search.artifacts import join
from search.paths import artifacts
from search.records import Search
from search.report.leaderboard.export import write_export
from search.report.leaderboard.frame import leaderboard, trial_frame
from search.report.read_evidence import read_shares

_EPOCH = ("step", "loss", "accuracy", "val_loss", "val_accuracy", "lr")
_CLOCK = ("seconds", "at")


class StudyFrames:
    """A study as it was when it was loaded.

    Accuracies are fractions, losses mean cross-entropies in nats, times seconds. Frames are made
    when first asked for; blanks in them are missing values.
    """

    def __init__(self, search: Search, *, is_archived: bool) -> None:
        self._search = search
        self._record = search.study
        self._is_archived = is_archived

    def __repr__(self) -> str:
        return f"Study({self.name!r}, {len(self._record.trials)} trials)"

    @property
    def name(self) -> str:
        """Its name."""
        return self._record.name

    @property
    def spec(self) -> Mapping[str, Any]:
        """All that decides what its trials do, as in study.yaml."""
        return self._record.spec

    @property
    def environment(self) -> Mapping[str, str]:
        """Python, package and code versions, machine and device, as recorded when it was made."""
        return self._record.environment

    @property
    def best(self) -> dict[str, Any] | None:
        """The params of the trial of rank 1 by validation; None while no trial has a value."""
        best = best_trial(self._record)
        return dict(best.params) if best else None

    @property
    def best_params(self) -> dict[str, Any] | None:
        """The same as `best`."""
        return self.best

    @cached_property
    def trials(self) -> pd.DataFrame:
        """One row per started trial, by number, with the columns of leaderboard.csv but `rank`."""
        return trial_frame(self._record, self._judgement)

    @cached_property
    def leaderboard(self) -> pd.DataFrame:
        """The rows and columns of leaderboard.csv, with a type per column."""
        return leaderboard(self._record, self._judgement)

    @cached_property
    def curves(self) -> pd.DataFrame:
        """One row per completed epoch.

        Columns: trial, step (from 1), loss, accuracy, val_loss, val_accuracy, lr, what else was
        measured (`val_<objective>`, by name), seconds, at. `lr` is the rate at the epoch's start,
        `seconds` its wall-clock time, `at` when it ended (UTC).
        """
        rows = []
        for trial in self._record.trials:
            rows += [{"trial": trial.number} | epoch.report for epoch in trial.curve]
        further = sorted({name for row in rows for name in row} - {"trial", *_EPOCH, *_CLOCK})
        names = [*_EPOCH, *further, *_CLOCK]
        frame = pd.DataFrame(rows, columns=["trial", *names])
        types = dict.fromkeys(names, "float64") | {"trial": "int64", "step": "int64"}
        frame = frame.astype(types)
        return frame.assign(at=pd.to_datetime(frame["at"], unit="s", utc=True))

    @cached_property
    def finalists(self) -> pd.DataFrame:
        """One row per finalist, in the order of validation; empty where there is none.

        Columns: trial, rank, is_document; val_accuracy as the search saw it; test_accuracy_mean,
        its 95 % interval test_accuracy_ci_low and test_accuracy_ci_high, over n_replicates finished
        of n_wanted; optimism, by how much the search saw the objective better than its mean on the
        test set; p_value (Holm) of no difference from the best mean, and tied_with_best; then
        value, test_value_mean, test_value_ci_low, test_value_ci_high: the same of the objective,
        and `value.*` and `test_value_mean.*` of others.
        """
        judged = [
            (f.trial, f.is_document, f.n_wanted, f.optimism, f.p_value)
            for f in (self._judgement.rows if self._judgement else ())
        ]
        frame = pd.DataFrame(judged, columns=list(_JUDGED)).astype(_JUDGED)
        board = self.leaderboard
        further = [name for name in map(str, board) if name.startswith(("value.", "test_value_"))]
        columns = [*_FINALISTS, "value", *further]
        return frame.merge(board, on="trial", how="left")[columns]

    def export(self, folder: str | Path, format: str = "csv") -> Path:  # noqa: A002  # as pandas calls it
        """Write `folder`/leaderboard.<format>, csv, parquet or json, and return that path.

        docs/leaderboard.md describes its columns. Raises search.errors.InputError when it can't be
        written.
        """
        return write_export(self._record, self._judgement, Path(folder), format)

    @cached_property
    def _judgement(self) -> Judgement | None:
        finalists = self._search.finalists
        # An archive's evidence is packed: its finalists are told apart by their seeds alone.
        if finalists is None or self._is_archived:
            return judge(self._search, {})
        evidence = join(artifacts(finalists.name), "evidence")
        return judge(self._search, read_shares(evidence, finalists))


_JUDGED = {
    "trial": "Int64",
    "is_document": "bool",
    "n_wanted": "int64",
    "optimism": "float64",
    "p_value": "float64",
}
_FINALISTS = (
    "trial",
    "rank",
    "is_document",
    "val_accuracy",
    "test_accuracy_mean",
    "test_accuracy_ci_low",
    "test_accuracy_ci_high",
    "n_replicates",
    "n_wanted",
    "optimism",
    "p_value",
    "tied_with_best",
)
