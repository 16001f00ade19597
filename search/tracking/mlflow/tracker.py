"""MLflow as a tracker."""

from collections.abc import Sequence
from pathlib import Path

from search.paths import home
from search.records import Epoch, Search, StudyRecord, TrialRecord
from search.secret import masked
from search.tracking.mlflow.pages import study_page
from search.tracking.mlflow.store import Store
from search.tracking.protocol import Ids
from search.tracking.uri import default_uri, is_remote


class MlflowTracker:
    """Keeps studies in the MLflow store of this environment. See docs/mlflow.md."""

    def __init__(self, ids: Ids) -> None:
        self._uri = default_uri(home())
        self._ids = ids
        self.target = masked(self._uri)
        self.is_local = self._uri.startswith(("sqlite", "file"))
        self._store: Store | None = None

    def trial_changed(self, study: StudyRecord, trial: TrialRecord, new: Sequence[Epoch]) -> None:
        """Bring `trial`, whose epochs `new` were not brought before."""
        self._opened().bring_trial(study, trial, new)

    def study_ended(self, search: Search, files: Sequence[Path]) -> None:
        """Bring what came of `search`, and the files of its report."""
        self._opened().bring_end(search, files)

    def link(self, study: str) -> str | None:
        """The page of a study's trials, where a server has it."""
        if not is_remote(self._uri):
            return None  # `gridless ui` shows it, while it runs
        experiment = self._opened().experiment_of(study)
        return experiment and study_page(masked(self._uri).rstrip("/"), experiment)

    def _opened(self) -> Store:
        """The store, connected when it is first needed."""
        self._store = self._store or Store(self._uri, self._ids)
        return self._store
