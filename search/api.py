"""The public Python API: searches, and stored studies as pandas frames; see docs/api.md."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from search.errors import InputError
from search.frames import StudyFrames
from search.paths import storage_url
from search.records import Search, as_trained
from search.registry import nearest
from search.study.settings import FINAL
from search.study.storage.archive import SUFFIXES, read_archive
from search.study.storage.read import open_library, read_study, search_names, stored_studies
from search.words import count, titles

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from search.searching import Searching


def list_studies() -> list[str]:
    """The names of all stored studies in the order of their making, without `<study>.final`.

    The storage is that of GRIDLESS_STORAGE, or of GRIDLESS_HOME. Raises search.errors.InputError
    when there is none.
    """
    return search_names(open_library(storage_url()))


def load_study(name: str) -> "Study":
    """Study `name` as it is stored, or as `gridless archive` wrote the file `name` (….tar.gz).

    Raises search.errors.InputError when there is none of that name, and
    search.errors.RetryLaterError when the database is out of reach.
    """
    if name.endswith(SUFFIXES):
        records = read_archive(Path(name).expanduser())
        is_archived = True
    else:
        storage = open_library(storage_url())
        records = {s.name: read_study(storage, s.name) for s in stored_studies(storage, name)}
        is_archived = False
    study = next((s for n, s in records.items() if not n.endswith(FINAL)), None)
    finalists = next((s for n, s in records.items() if n.endswith(FINAL)), None)
    if study is None:
        raise InputError(
            f"{name!r} has replicates only and searched nothing; `gridless compare` shows its suite"
        )
    return Study(Search(as_trained(study), finalists), is_archived=is_archived)


def optimize(
    build: Callable[..., Any] | str | None = None,
    data: Any = None,
    *,
    train: Callable[..., Any] | None = None,
    space: Any = None,
    baseline: Mapping[str, Any] | None = None,
    name: str | None = None,
    n_trials: int | None = None,
    objective: str | Sequence[str] | None = None,
    epochs: int | None = None,
    workers: int | None = None,
    seed: int | None = None,
    timeout: float | None = None,
    finalists: int | None = None,
    at_most: Mapping[str, float] | Sequence[str] | None = None,
    task: str | None = None,
    allow_changes: bool = False,
    progress: bool = True,
    background: bool = False,
    home: str | Path | None = None,
    **settings: Any,
) -> "Study":
    """Search what `build` can vary, as `gridless study` does, or go on with that search.

    `build` is a name of `gridless models`, "package.module:function", or any function or object
    `build(params, *, input_shape, n_classes)` or `build(hp)`, which is stored with the study.
    `data` is a data set's name, a path, arrays (x, y) or (x, y, x_test, y_test), or a
    tf.data.Dataset; `task` says what targets are where they don't. `space` is a dict of parameters
    as in a space file, in which a bare value is a constant, or the path of such a file; None for a
    model with a file of its own, or one that asks its `hp`. `baseline` is trial 0. The others are
    the command's: what is not named here is in `settings`, as `budget`, `strategy` or `tracker`.

    `allow_changes` goes on with a study whose builder was another. `home` is GRIDLESS_HOME, for the
    whole process. KeyboardInterrupt pauses the study, and the same call goes on; with `background`
    it is searched in a thread, and `Study.wait` waits for that.

    Raises search.errors.InputError with every problem of every argument, before anything is stored,
    and search.errors.StudyError when no trial has a value.
    """
    if home is not None:
        os.environ["GRIDLESS_HOME"] = str(home)
    given: dict[str, Any] = {"name": name, "n_trials": n_trials, "objective": objective}
    given |= {"epochs": epochs, "workers": workers, "seed": seed, "timeout_s": timeout}
    given |= {"finalists": finalists, "at_most": at_most, **settings}
    if train is not None:
        given["finalists"] = 0
    if isinstance(at_most, Mapping):
        given["at_most"] = [f"{fact}={limit}" for fact, limit in at_most.items()]
    # What searches takes seconds to import, which nobody needs who reads a study.
    from search.actions.optimize import Asked  # noqa: PLC0415
    from search.searching import begun  # noqa: PLC0415

    argument = Asked(
        build if train is None else train,
        data,
        space,
        baseline,
        task,
        given,
        allow_changes=allow_changes,
        loop=train is not None,
    )
    study, search = begun(argument, progress=progress)
    return _searched(study, search, background=background)


def _searched(name: str, search: "Searching | None", *, background: bool) -> "Study":
    if search and not background:
        search.run()
    study = load_study(name)
    if search and background:
        search.start()
        study._searching = search
    return study


class Study(StudyFrames):
    """A study as it was when `load_study` loaded it; load it again for what came later.

    Accuracies are fractions, losses mean cross-entropies in nats, times seconds. Frames are made
    when first asked for; blanks in them are missing values.
    """

    def __init__(self, search: Search, *, is_archived: bool) -> None:
        super().__init__(search, is_archived=is_archived)
        self._searching: Searching | None = None

    def _repr_html_(self) -> str:
        """Its ten best trials, for notebooks."""
        board = self.leaderboard
        columns = ["rank", "trial", "state", "value", "epochs", "train_s"]
        params = [name for name in map(str, board) if name.startswith("param.")]
        table = board[[*columns, *params]].head(10).to_html(index=False, border=0, na_rep="")
        objective = titles(self._record.objective, self._record.others)
        head = f"{self.name}: {count(len(board), 'trial')} for {objective}"
        return f"<p>{escape(head)}</p>{table}"

    def model(self) -> Any:
        """The champion's network, a keras.Model: pixels 0…255 (n, h, w, channels) → probabilities.

        This loads Keras. Raises search.errors.InputError when the study has no network yet, or it
        can't be loaded.
        """
        from search.actions.predict import load  # noqa: PLC0415  # loads the framework

        if self._is_archived:
            raise InputError(
                f"the network of {self.name!r} is in the archive; unpack {self.name}/model.keras"
                " from it"
            )
        return load(self.name)

    def predict(self, x: Any) -> NDArray[np.float32]:
        """What that network says of examples (n, …) as the data have them: probabilities
        (n, n_classes), of a regression numbers (n, width).

        Raises search.errors.InputError as `model` does, and for examples of another shape.
        """
        from search.training.inference import probabilities  # noqa: PLC0415  # loads the framework

        examples = np.asarray(x)
        shape = self._network.input_shape[1:]
        if examples.shape[1:] == shape[:-1] and shape[-1] == 1:
            examples = examples[..., None]
        if examples.shape[1:] != shape:
            raise InputError(
                f"x: must be of shape (n, {', '.join(map(str, shape))}), not {examples.shape}"
            )
        return probabilities(self._network, examples)

    def figure(self, name: str, panel: int = 0) -> "go.Figure":
        """A chart of the report as a Plotly figure: accuracy, cost, curves, parameters …; of
        several panels the one of that number.

        Raises search.errors.InputError for a name or a panel that the study has not.
        """
        from search.report.charts.all import all_charts  # noqa: PLC0415  # loads Plotly

        charts = {chart.key: chart for chart in all_charts(self._search, self._judgement)}
        if name not in charts:
            raise InputError(f"figure: {name!r} is not drawn here; {nearest(name, charts)}")
        panels = charts[name].panels
        if not panels:
            raise InputError(f"figure: {name}: {charts[name].why_empty}")
        if panel not in range(len(panels)):
            raise InputError(
                f"figure: {name} has {count(len(panels), 'panel')}, from 0; not {panel}"
            )
        return panels[panel].figure

    def compare(self, others: Sequence["Study | str"]) -> pd.DataFrame:
        """This study beside `others`, as `gridless compare` does: a row each, and a page below
        runs/comparisons. Raises search.errors.InputError with every problem.
        """
        from search.actions.compare import compare_names  # noqa: PLC0415  # as in `optimize`

        names = [self.name, *(str(getattr(other, "name", other)) for other in others)]
        return pd.DataFrame(compare_names(names, None).rows)

    def resume(
        self,
        n_trials: int | None = None,
        *,
        workers: int | None = None,
        timeout: float | None = None,
        progress: bool = True,
        background: bool = False,
    ) -> "Study":
        """Go on with it, with `n_trials` in all, for at most `timeout` seconds; all else stays.

        Raises as `optimize` does.
        """
        from search.searching import resumed  # noqa: PLC0415  # as in `optimize`

        given = {"n_trials": n_trials, "workers": workers, "timeout_s": timeout}
        search = resumed(self.name, given, progress=progress)
        return _searched(self.name, search, background=background)

    def wait(self) -> "Study":
        """The study once its search in the background is over; at once without one.

        Raises what the search raised; KeyboardInterrupt pauses it.
        """
        if self._searching:
            self._searching.wait()
        return load_study(self.name)

    @cached_property
    def _network(self) -> Any:
        return self.model()
