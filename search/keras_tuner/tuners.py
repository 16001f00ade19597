"""KerasTuner's tuners, whose trials are a study's: in processes of their own, stored, gone on with
after any interruption.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any

import keras_tuner
from keras_tuner.src.engine.hypermodel import get_hypermodel

from search.artifacts import join
from search.keras_tuner.arguments import Arguments, signature_of
from search.paths import artifacts, home

if TYPE_CHECKING:
    from collections.abc import Mapping

    from search.api import Study

_OF_TRIALS = ("hypermodel", "objective", "tune_new_entries", "allow_new_entries")
_LEFT_OUT = {
    *("oracle", "hypermodel", "study", "directory", "logger"),
    *("arguments", "folder", "segment", "_overwrites"),
}
_OF_SEARCHES = ("on_trial_begin", "on_trial_end", "pre_create_trial", "save")
"""What KerasTuner calls in the process that searches, and nothing does here."""


class Tuner(keras_tuner.Tuner):  # type: ignore[misc]  # keras_tuner has no types
    """KerasTuner's Tuner, to be subclassed as there; those here say how settings are chosen.

    They take KerasTuner's arguments, and settings of `search.optimize` by their names, as
    `workers`. `project_name` is the study's, and `directory` GRIDLESS_HOME for the whole process.
    """

    theirs: Any = keras_tuner.Tuner
    """KerasTuner's, whose arguments it takes."""
    strategy = "random"
    whole = "random"
    """The strategy for trials that can't be paused."""
    study: "Study | None" = None
    """The study, once it was searched."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" not in vars(cls):
            cls.__signature__ = signature_of(cls.theirs)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Raises InputError with every argument that can't be kept."""
        methods = (name for name in _OF_SEARCHES if not _is_kept(type(self), name))
        rule = "trials run in processes of their own: do that in run_trial"
        problems = [f"{name}(): it would not be called, {rule}" for name in methods]
        self.arguments = Arguments.of(self.theirs, args, kwargs, problems)
        self._overwrites = bool(self.arguments.given["overwrite"])
        self.folder: str | None = None
        self.segment: Any = None
        super().__init__(self.arguments.oracle(), **self.arguments.of_tuner)
        if not self._overwrites:
            self.reload()

    @classmethod
    def of(cls, recipe: "Mapping[str, Any]") -> "Tuner":
        """The tuner of `recipe`, for one of its trials."""
        tuner = cls.__new__(cls)
        tuner.__dict__ |= recipe["state"]
        declared = keras_tuner.HyperParameters.from_config(recipe["declared"])
        given = {**recipe["given"], "hyperparameters": declared if declared.space else None}
        tuner.arguments = Arguments.of(cls.theirs, (), given, [])
        tuner.folder = tuner.segment = None
        tuner.oracle = tuner.arguments.oracle()
        tuner.hypermodel = get_hypermodel(given["hypermodel"])
        return tuner

    @property
    def recipe(self) -> dict[str, Any]:
        """What another process makes it of."""
        state = {name: value for name, value in vars(self).items() if name not in _LEFT_OUT}
        model = self.arguments.given["hypermodel"]
        facts = {n: v for n, v in getattr(model, "__dict__", {}).items() if not callable(v)}
        declared = self.arguments.given.get("hyperparameters") or keras_tuner.HyperParameters()
        return {
            "kind": type(self),
            "state": state,
            "given": {n: v for n, v in self.arguments.given.items() if n in _OF_TRIALS},
            "declared": declared.get_config(),
            "facts": {} if isinstance(model, FunctionType) else facts,
        }

    @property
    def runs_as_usual(self) -> bool:
        """Whether a trial is built, and trained by its hypermodel's `fit`."""
        return _is_kept(type(self), "run_trial")

    def search(self, *fit_args: Any, **fit_kwargs: Any) -> None:
        """Search with these arguments of `fit`, or of `run_trial`; the same call goes on after
        whatever ended it.

        Raises InputError with all that can't be kept, before the first trial, StudyError when no
        trial has a value, and KeyboardInterrupt once the study is paused.
        """
        from search.keras_tuner.searched import searched  # noqa: PLC0415  no trial needs it

        self.arguments.go_home()
        self.on_search_begin()
        self.study = searched(self, fit_args, fit_kwargs, overwrites=self._overwrites)
        self._overwrites = False
        self.reload()
        self.on_search_end()

    def reload(self) -> None:
        """Read its trials anew, as they are stored now; none where nothing is."""
        from search.keras_tuner.searched import stored_trials  # noqa: PLC0415

        self.arguments.go_home()
        self.oracle.trials = {trial.trial_id: trial for trial in stored_trials(self)}

    @property
    def project_dir(self) -> str:
        """Where it writes."""
        return str(home() / self.project_name)

    def get_trial_dir(self, trial_id: str) -> str:
        """Where a trial writes, which is made; on this machine in any case."""
        root = self.folder or join(artifacts(self.project_name), "evidence")
        here = join(self.project_dir, "evidence") if "://" in root else root
        folder = Path(here, f"trial_{trial_id}")
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder)

    @contextmanager
    def elsewhere(self) -> Iterator[None]:
        """Let trials write where nobody looks."""
        with tempfile.TemporaryDirectory() as folder:
            self.folder = folder
            try:
                yield
            finally:
                self.folder = None

    def _build_and_fit_model(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
        """As KerasTuner does, from where the trial was stopped."""
        if self.segment is not None:
            kwargs = self.segment.arguments(kwargs)
        return super()._build_and_fit_model(trial, *args, **kwargs)

    def _try_build(self, hp: Any) -> Any:
        model = super()._try_build(hp)
        if self.segment is not None:
            self.segment.take_up(model)
        return model

    def _configure_tensorboard_dir(self, callbacks: Any, trial: Any, execution: int = 0) -> None:
        """KerasTuner loads TensorBoard for every trial."""
        if any(type(callback).__name__ == "TensorBoard" for callback in callbacks):
            super()._configure_tensorboard_dir(callbacks, trial, execution)


def _is_kept(kind: type, name: str) -> bool:
    """Whether the method is KerasTuner's, or one of ours."""
    method = getattr(kind, name)
    return method.__module__.partition(".")[0] in {"keras_tuner", "search"}


class RandomSearch(Tuner):
    """Settings by chance, each trained to its end."""

    theirs = keras_tuner.RandomSearch


class GridSearch(Tuner):
    """Every combination, each trained to its end; ten values of a range without steps."""

    theirs = keras_tuner.GridSearch
    strategy = whole = "grid"


class BayesianOptimization(Tuner):
    """Settings that promise most; trials pause, and the promising ones go on."""

    theirs = keras_tuner.BayesianOptimization
    strategy = "default"
    whole = "tpe"


class Hyperband(Tuner):
    """Settings by chance in brackets, of which the best third goes on at each rung."""

    theirs = keras_tuner.Hyperband
    strategy = "hyperband"
