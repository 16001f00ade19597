"""What a tuner's trials can vary, found before its search: they are run up to where they train."""

import gc
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

import keras
import keras_tuner
from keras_tuner.engine.trial import Trial

from search.space.conditions import learned
from search.space.from_kerastuner import space_from
from search.space.hyper_choices import Hyper, hyper_of
from search.space.space import Space
from search.training.exploration import Exploration
from search.training.hypermodel import asking_hp

Choose = Callable[[Hyper], Any]


class Found(NamedTuple):
    """What was seen of a tuner's trials."""

    hypers: list[Hyper]
    goes_on: bool
    """Whether a trial can be stopped after an epoch and go on from there: it is trained by
    `model.fit`, once, with the arguments that a tuner gives.
    """
    notices: list[str]

    def space(self, model: str) -> Space:
        """What can vary, with KerasTuner's defaults as trial 0."""
        return space_from(model, self.hypers, compiles=True, trains=True)


class _FitError(BaseException):
    """Ends a trial where it would train. No `Exception`, which a program might catch."""


class _EpochError(BaseException):
    """Ends a trial that trains in another way, after an epoch."""


class _OneEpoch(keras.callbacks.Callback):  # type: ignore[misc]  # keras has no types
    def on_epoch_end(self, *_: Any, **__: Any) -> None:
        raise _EpochError


def hyper(parameter: Any) -> Hyper:
    """KerasTuner's `parameter` as plain data."""
    config = {"class_name": type(parameter).__name__, "config": parameter.get_config()}
    return hyper_of(config)


def explored(tuner: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Found:
    """What trials of `tuner` ask for when they are given these arguments of `search`.

    They are built and prepared with many settings, as `Exploration` does, but not trained. A trial
    that does not come to train a Keras model is run once, with the defaults, and as a whole.
    """
    with _quick_garbage():
        return _explored(tuner, _Explorer(tuner, args, kwargs))


def _explored(tuner: Any, explorer: "_Explorer") -> Found:
    hp = explorer.asking(lambda hyper: hyper.default)
    try:
        trains = explorer.trains(hp)
    except Exception:  # whether other values can be built is found below
        trains = True
    build = explorer.trains if trains else explorer.builds
    hypers: list[Hyper] = []
    notices: list[str] = []
    if trains or tuner.hypermodel is not None:
        exploration = Exploration(build, explorer.asking, ())
        exploration.run()
        hypers = learned(exploration.hypers, exploration.builds)
        notices = exploration.notices
    names = {each.name for each in hypers}
    more = [each for each, _ in hp.asks] + [hyper(each) for each in tuner.arguments.declared]
    hypers += [each for each in {h.name: h for h in more}.values() if each.name not in names]
    for each in explorer.asked:
        tuner.oracle.update_space(each)
    return Found(hypers, explorer.goes_on(), notices)


@contextmanager
def _quick_garbage() -> Iterator[None]:
    """Leave what is there to itself: KerasTuner collects garbage before each build, which takes
    longer than the build where TensorFlow is loaded.
    """
    is_new = gc.get_freeze_count() == 0
    gc.freeze()
    try:
        yield
    finally:
        if is_new:
            gc.unfreeze()


class _Explorer:
    """Runs trials of a tuner, without what they would leave on disk."""

    def __init__(self, tuner: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        self._tuner, self._args, self._kwargs = tuner, args, dict(kwargs)
        self.asked: list[Any] = []
        if tuner.runs_as_usual:
            self._kwargs["callbacks"] = [*self._kwargs.get("callbacks", ()), _OneEpoch()]

    def asking(self, choose: Choose) -> Any:
        """An `hp` that answers as `choose` says."""
        hp = asking_hp(choose, self._tuner.arguments.instead)
        hp.values |= {each.name: choose(hyper(each)) for each in self._tuner.arguments.declared}
        self.asked.append(hp)
        return hp

    def trains(self, hp: Any) -> bool:
        """Run a trial to where it calls Keras' `fit`; whether it comes there.

        Raises what building raises.
        """

        def fit(*_: Any, **__: Any) -> None:
            raise _FitError

        try:
            self._run(hp, fit)
        except _FitError:
            return True
        except _EpochError:
            pass
        return False

    def builds(self, hp: Any) -> bool:
        """Build a trial's model. Raises what building raises."""
        keras.backend.clear_session()
        self._tuner.hypermodel.build(hp)
        return True

    def goes_on(self) -> bool:
        """See `Found`."""
        model = self._tuner.hypermodel
        if not self._tuner.runs_as_usual or self._tuner.executions_per_trial > 1:
            return False
        if type(model).fit is keras_tuner.HyperModel.fit:
            return True
        takes = inspect.signature(model.fit).parameters.values()
        if not any(each.kind is each.VAR_KEYWORD for each in takes):
            return False
        history = keras.callbacks.History()
        given: dict[str, Any] = {}

        def fit(*_: Any, **kwargs: Any) -> Any:
            given.update(kwargs)
            return history

        self._kwargs["initial_epoch"] = 0
        try:
            results = self._run(self.asking(lambda hyper: hyper.default), fit)
        except (Exception, _EpochError):  # it looks into what it got, or trains in another way
            return False
        finally:
            del self._kwargs["initial_epoch"]
        return {"callbacks", "initial_epoch"} <= given.keys() and results == [history]

    def _run(self, hp: Any, fit: Callable[..., Any]) -> Any:
        """What a trial comes to with `fit` in place of Keras'."""
        keras.backend.clear_session()
        with patch.object(keras.Model, "fit", fit), self._tuner.elsewhere():
            return self._tuner.run_trial(Trial(hp, "0"), *self._args, **self._kwargs)
