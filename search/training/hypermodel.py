"""Builders, ours and KerasTuner's alike: what they return is made to fit the data, or refused with
the reason.

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
from search.registry import is_hypermodel, load_builder, takes_hp
from search.space.from_kerastuner import LOOSE, names_of
from search.space.hyper_choices import (
    Hyper,
    fits,
    hyper_of,
    keeps_to_ranges,
    nearest_value,
    overlap,
)
from search.training.own_compile import loss_of_numbers
from search.training.recorder import Params

logger = logging.getLogger(__name__)
_SHAPE_NAMES = ("input_shape",)
_CLASS_NAMES = ("classes", "n_classes", "num_classes")
_ONE = "the model must take one image and give one output"


class Builder:
    """A function `build(params, *, input_shape, n_classes)` whose network is looked at before
    anybody gets it.
    """

    def __init__(self, source: Callable[..., Any]) -> None:
        self._source = source

    def __call__(
        self, params: Mapping[str, Any], *, input_shape: tuple[int, int, int], n_classes: int
    ) -> keras.Model:
        """The network of a setting, built. Raises InputError when it is none for such images."""
        given = params if isinstance(params, Params) else Params(params)
        return shaped(
            self._source(given, input_shape=input_shape, n_classes=n_classes),
            input_shape,
            n_classes,
        )


class HyperBuilder:
    """What KerasTuner builds by, callable as every builder is.

    A model that it compiled stays compiled, with a loss that takes labels as numbers: its optimizer
    and loss are kept.
    """

    def __init__(self, source: Any) -> None:
        """`source`: a function `build(hp)`, or a class or instance of HyperModel."""
        self._source = source

    def __call__(
        self, params: Mapping[str, Any], *, input_shape: tuple[int, int, int], n_classes: int
    ) -> keras.Model:
        """The network of a setting. Raises InputError when it is none for such images, or has no
        loss for them.
        """
        return fitted(
            self.build(setting_hp(params), input_shape, n_classes), input_shape, n_classes
        )

    def build(self, hp: Any, input_shape: tuple[int, int, int], n_classes: int) -> Any:
        """What KerasTuner would get for `hp`."""
        if not is_hypermodel(self._source):
            return self._source(hp)
        model = (
            self._source(**self._facts(input_shape, n_classes))
            if isinstance(self._source, type)
            else self._source
        )
        model.declare_hyperparameters(hp)
        return model.build(hp)

    def _facts(self, input_shape: tuple[int, int, int], n_classes: int) -> dict[str, Any]:
        """What the class can be told of the data: arguments of the usual names."""
        known = dict.fromkeys(_SHAPE_NAMES, input_shape) | dict.fromkeys(_CLASS_NAMES, n_classes)
        return {
            name: known[name]
            for name in inspect.signature(self._source).parameters
            if name in known
        }

    @property
    def own_fit(self) -> Any:
        """The `fit` of a HyperModel that has one, which is not called here; None if it has none."""
        kind = self._source if isinstance(self._source, type) else type(self._source)
        fit = getattr(kind, "fit", None) if is_hypermodel(self._source) else None
        return None if fit is keras_tuner().HyperModel.fit else fit


def builder_of(name: str) -> Builder | HyperBuilder:
    """The builder of model `name`. Raises InputError as `load_builder` does."""
    source: Any = load_builder(name)
    if not takes_hp(source):
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


def asking_hp(choose: Callable[[Hyper], Any]) -> Any:
    """KerasTuner's HyperParameters whose values are what `choose` says when a builder asks for
    them.

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

        def _retrieve(self, one: Any) -> Any:
            value = self._answer(one) if self.is_active(one) else None
            if not self._exists(one.name, one.conditions):
                self._register(one)
            return value

        def _answer(self, one: Any) -> Any:
            hyper = hyper_of({"class_name": type(one).__name__, "config": one.get_config()})
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


def setting_hp(params: Mapping[str, Any]) -> Any:
    """KerasTuner's HyperParameters with the values of a setting of ours.

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

    return asking_hp(choose)


def fitted(model: Any, input_shape: tuple[int, int, int], n_classes: int) -> keras.Model:
    """`shaped`; a loss of its own takes labels as numbers. Raises InputError, for such a loss as
    well.
    """
    ready = shaped(model, input_shape, n_classes)
    if model.compiled:
        ready.compile(optimizer=model.optimizer, loss=loss_of_numbers(model.loss, n_classes))
    return ready


def shaped(model: Any, input_shape: tuple[int, int, int], n_classes: int) -> keras.Model:
    """`model`, built, as one from images of `input_shape` to `n_classes` outputs.

    Images are flattened, or lose their one channel, for a model that takes them so. Raises
    InputError when it takes or gives anything else.
    """
    if not isinstance(model, keras.Model):
        raise InputError(
            f"the model's builder must return a keras.Model, not {type(model).__name__}"
        )
    model = _out_of_lists(model)
    takes, gives = _shapes(model, input_shape)
    if gives != (None, n_classes):
        rule = f"its outputs have the shape {gives}, but the data have {n_classes} classes"
        flat = "" if len(gives) == 2 else "flatten or pool what comes before, and "
        raise InputError(
            f"{rule}: {flat}end with {n_classes} units, one for each class, of one output"
        )
    return model if _takes(takes, input_shape) else _behind_reshape(model, takes, input_shape)


def _out_of_lists(model: keras.Model) -> keras.Model:
    """`model` without the lists or names around its one input and output, as of
    `keras.Model([inputs], [outputs])`.
    """
    ends = (getattr(model, "input", None), getattr(model, "output", None)) if model.built else ()
    if not any(isinstance(end, list | tuple | dict) for end in ends):
        return model
    if (
        not len(model.inputs) == len(model.outputs) == 1
        or type(model).train_step is not keras.Model.train_step
    ):
        raise InputError(_ONE)
    return keras.Model(model.inputs[0], model.outputs[0], name=model.name)


def _shapes(model: keras.Model, images: tuple[int, int, int]) -> tuple[Any, Any]:
    """What one image and all outputs look like; a model that does not say is built for images as
    they are.
    """
    if model.built and getattr(model, "inputs", None):
        return model.input_shape[1:], model.output_shape
    if type(model).call is keras.Model.call:
        rule = (
            f"{type(model).__name__} has no call(images), so that nothing is known but how it"
            " trains"
        )
        raise InputError(f"{rule}: write one that returns its outputs")
    outputs = model(keras.Input(images))
    if not hasattr(outputs, "shape"):
        raise InputError(_ONE)
    has_own_step = type(model).train_step is not keras.Model.train_step
    if not has_own_step and not hasattr(model(keras.Input(images), training=True), "shape"):
        raise InputError(
            f"{_ONE}, but while it trains it gives several: give one there, too, or write its"
            " train_step"
        )
    return images, tuple(outputs.shape)


def _takes(shape: tuple[int | None, ...], images: tuple[int, int, int]) -> bool:
    return len(shape) == len(images) and all(
        a in {None, b} for a, b in zip(shape, images, strict=True)
    )


def _behind_reshape(
    model: keras.Model, takes: tuple[int | None, ...], images: tuple[int, int, int]
) -> keras.Model:
    height, width, channels = images
    sizes = {(height * width * channels,)} | ({(height, width)} if channels == 1 else set())
    if takes not in sizes:
        shown, wanted = ("×".join(map(str, shape)) for shape in (takes, images))
        raise InputError(
            f"the model takes images of {shown}, but the data's are {wanted}: give it that input"
            " shape"
        )
    if type(model).train_step is not keras.Model.train_step:
        raise InputError(
            "a model with its own train_step must take images as they are (height, width, channels)"
        )
    start = [keras.Input(images), keras.layers.Reshape(takes)]
    if isinstance(model, keras.Sequential):
        return keras.Sequential([*start, *model.layers], name=model.name)
    return keras.Model(start[0], model(start[1](start[0])), name=model.name)
