"""Builders, ours and KerasTuner's alike: what they return is made to fit the data, or refused.

KerasTuner's are a function `build(hp)`, or a HyperModel, unchanged. A builder here is told its
setting; KerasTuner's asks its `hp` for each value as it goes. So the `hp` that it is given holds
the setting, and what nobody chose is its default. The space is found by building with a few
settings, as KerasTuner does before it searches.
"""

import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any

import keras

from search.errors import InputError
from search.pickled import source_of
from search.records import Task
from search.registry import (
    CLASS_NAMES,
    SHAPE_NAMES,
    is_hypermodel,
    needed,
    takes_facts,
    takes_hp,
)
from search.space.from_kerastuner import LOOSE, names_of
from search.space.hyper_choices import (
    Hyper,
    fits,
    hyper_of,
    keeps_to_ranges,
    nearest_value,
    overlap,
)
from search.training.params_read import Params
from search.training.shaping import fitted, shaped

logger = logging.getLogger(__name__)
Instead = Callable[[Any], Any]


class Builder:
    """A function `build(params, *, input_shape, n_classes)` whose network is checked."""

    def __init__(self, source: Callable[..., Any]) -> None:
        self._source = source

    def __call__(
        self,
        params: Mapping[str, Any],
        *,
        input_shape: tuple[int, ...],
        n_classes: int,
        task: Task = Task.CLASSIFICATION,
    ) -> keras.Model:
        """The network of a setting, built. Raises InputError when it is none for such examples.

        A builder that has an argument `task` is told it.
        """
        reader = params if isinstance(params, Params) else Params(params)
        facts: dict[str, Any] = {"input_shape": input_shape, "n_classes": n_classes}
        if "task" in inspect.signature(self._source).parameters:
            facts["task"] = task
        return shaped(self._source(reader, **facts), input_shape, n_classes, task)


class HyperBuilder:
    """What KerasTuner builds by, callable as every builder is.

    A model that it compiled stays compiled: its optimizer, loss and metrics are kept.
    """

    def __init__(self, source: Any) -> None:
        """`source`: a function `build(hp)`, a class or instance of HyperModel, or a function that
        needs no more than the facts of the data.
        """
        self._source = source

    def __call__(
        self,
        params: Mapping[str, Any],
        *,
        input_shape: tuple[int, ...],
        n_classes: int,
        task: Task = Task.CLASSIFICATION,
    ) -> keras.Model:
        """A setting's network. Raises InputError when it, or its loss, is none for such data."""
        model = self.build(setting_hp(params), input_shape, n_classes)
        return fitted(model, input_shape, n_classes, task)

    def build(self, hp: Any, input_shape: tuple[int, ...], n_classes: int) -> Any:
        """What KerasTuner would get for `hp`."""
        if takes_facts(self._source):
            return self._source(**self._facts(input_shape, n_classes))
        if not is_hypermodel(self._source):
            return self._source(hp)
        model = (
            self._source(**self._facts(input_shape, n_classes))
            if isinstance(self._source, type)
            else self._source
        )
        model.declare_hyperparameters(hp)
        return model.build(hp)

    def _facts(self, input_shape: tuple[int, ...], n_classes: int) -> dict[str, Any]:
        """What can be told of the data: arguments of the usual names."""
        facts = dict.fromkeys(SHAPE_NAMES, input_shape) | dict.fromkeys(CLASS_NAMES, n_classes)
        parameters = inspect.signature(self._source).parameters
        if unknown := needed(parameters) - facts.keys():
            name = getattr(self._source, "__name__", type(self._source).__name__)
            rule = f"{name} needs {', '.join(sorted(unknown))}, which data don't say"
            raise InputError(f"{rule}: make an instance in its module, and name that")
        return {name: facts[name] for name in parameters if name in facts}

    @property
    def unsearched(self) -> list[str]:
        """The arguments of a function without hyperparameters that keep their defaults."""
        if not takes_facts(self._source):
            return []
        parameters = inspect.signature(self._source).parameters
        return [name for name in parameters if name not in {*SHAPE_NAMES, *CLASS_NAMES}]

    @property
    def fit_of_users(self) -> Any:
        """The `fit` of a HyperModel that has one, which is not called here; None if it has none."""
        kind = self._source if isinstance(self._source, type) else type(self._source)
        fit = getattr(kind, "fit", None) if is_hypermodel(self._source) else None
        return None if fit is keras_tuner().HyperModel.fit else fit


def builder_of(name: str) -> Builder | HyperBuilder:
    """The builder of model `name`. Raises InputError as `source_of` does."""
    source: Any = source_of(name)
    if not takes_hp(source) and not takes_facts(source):
        return Builder(source)
    if (
        is_hypermodel(source)
        and getattr(source.build, "__func__", source.build) is keras_tuner().HyperModel.build
    ):
        raise InputError(
            f"{name} is a HyperModel without a build(hp) of its own; write one that returns the"
            " network"
        )
    return HyperBuilder(source)


def keras_tuner() -> Any:
    """KerasTuner, which most models need not."""
    import keras_tuner  # noqa: PLC0415

    return keras_tuner


def asking_hp(choose: Callable[[Hyper], Any], instead: Instead = lambda asked: asked) -> Any:
    """KerasTuner's HyperParameters whose values are what `choose` says when a builder asks for
    them, or for what `instead` puts in the place of a hyperparameter of KerasTuner's.

    Its `asks` hold each hyperparameter that was active, with its value. A name that is asked for
    again in the same build keeps its value, taken into the range if that is another (`clipped` has
    such names); where no value can be in both ranges, each has its own.
    """
    HyperParameters: Any = keras_tuner().HyperParameters

    class Asking(HyperParameters):  # type: ignore[misc]  # keras_tuner has no types
        def __init__(self) -> None:
            super().__init__()
            self.asks: list[tuple[Hyper, Any]] = []
            self.clipped: set[str] = set()

        def _retrieve(self, parameter: Any) -> Any:
            value = self._answer(parameter) if self.is_active(parameter) else None
            if not self._exists(parameter.name, parameter.conditions):
                self._register(parameter)
            return value

        def _answer(self, asked: Any) -> Any:
            parameter = instead(asked)
            kind = type(parameter).__name__
            hyper = hyper_of({"class_name": kind, "config": parameter.get_config()})
            earlier = [(h, v) for h, v in self.asks if h.name == hyper.name]
            for other, value in sorted(
                earlier, key=lambda ask: repr(ask[0].raw) != repr(hyper.raw)
            ):
                if repr(other.raw) == repr(hyper.raw):
                    return value
                if overlap(other.raw, hyper.raw):
                    self.clipped.add(hyper.name)
                    return nearest_value(hyper.raw, value, hyper.default)
            value = choose(hyper)
            self.asks.append((hyper, value))
            self.values.setdefault(hyper.name, value)
            return value

    return Asking()


def setting_hp(params: Mapping[str, Any], instead: Instead = lambda asked: asked) -> Any:
    """KerasTuner's HyperParameters with the values of a setting of ours, of `instead` as above.

    Of a hyperparameter that several parameters stand for, it is the one in whose range the builder
    asks. A value that is in no such range comes from a space file, which may say otherwise than the
    builder, unless the params keep to its ranges (`search.space.hyper_choices.for_builder`): then
    it is of a range that no build had asked with.
    """

    def choose(hyper: Hyper) -> Any:
        names = [name for name in names_of(hyper.name) if name in params]
        fitting = next((n for n in names if fits(hyper.raw, params[n])), None)
        if fitting is not None:
            return params[fitting]
        if not names:
            logger.warning(
                "%s is not in the space: its default is used, %r", hyper.name, hyper.default
            )
            return hyper.default
        value = params[names[0]]
        if names[0].endswith(LOOSE) or keeps_to_ranges(params):
            return nearest_value(hyper.raw, value, hyper.default)
        return value

    return asking_hp(choose, instead)
