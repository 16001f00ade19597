"""What a builder returned, made to fit images and classes, or refused with the reason."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras

from search.datasets.examples import some
from search.errors import InputError
from search.records import Task
from search.training.own_compile import loss_of_columns, loss_of_numbers
from search.training.own_log import own_metrics

_OF_CLASSES = (Task.CLASSIFICATION, Task.BINARY)


class _Kind(NamedTuple):
    """What there is an output for."""

    one: str
    many: str


_KINDS = {
    Task.CLASSIFICATION: _Kind("class", "classes"),
    Task.BINARY: _Kind("class", "classes"),
    Task.MULTILABEL: _Kind("label", "labels"),
    Task.REGRESSION: _Kind("target", "targets"),
}


def fitted(
    model: Any, input_shape: tuple[int, ...], n_classes: int, task: Task = Task.CLASSIFICATION
) -> keras.Model:
    """`shaped`, compiled as `model` is. Raises InputError if its own loss can't take the labels."""
    ready = shaped(model, input_shape, n_classes, task)
    if not model.compiled:
        return ready
    is_one = task in _OF_CLASSES and _shapes(model, input_shape)[1][-1] == 1
    if task in _OF_CLASSES and not is_one:
        loss_of_numbers(model.loss, n_classes)
    else:
        loss_of_columns(model.loss, 1 if is_one else n_classes)
    if ready is not model:
        compiled = own_metrics(model)
        ready.compile(
            optimizer=model.optimizer,
            loss=model.loss,
            metrics=compiled.metrics,
            weighted_metrics=compiled.weighted,
        )
    return ready


def shaped(
    model: Any, input_shape: tuple[int, ...], n_classes: int, task: Task = Task.CLASSIFICATION
) -> keras.Model:
    """`model`, built, as one from examples of `input_shape` to `n_classes` outputs, or one for two
    classes.

    Examples are flattened, or lose their one channel, for a model that takes them so. Raises
    InputError when it takes or gives anything else.
    """
    if not isinstance(model, keras.Model):
        raise InputError(
            f"the model's builder must return a keras.Model, not {type(model).__name__}"
        )
    model = _out_of_lists(model)
    takes, gives = _shapes(model, input_shape)
    is_one = task in _OF_CLASSES and n_classes == 2 and gives == (None, 1)
    if gives != (None, n_classes) and not is_one:
        raise InputError(_width_problem(gives, n_classes, task))
    return model if _takes(takes, input_shape) else _behind_reshape(model, takes, input_shape)


def _width_problem(gives: tuple[int | None, ...], n_classes: int, task: Task) -> str:
    kind = _KINDS[task]
    rule = f"its outputs have the shape {gives}, but the data have {n_classes} {kind.many}"
    flat = "" if len(gives) == 2 else "flatten or pool what comes before, and "
    one = ", or with one sigmoid unit" if task in _OF_CLASSES and n_classes == 2 else ""
    return f"{rule}: {flat}end with {n_classes} units, one for each {kind.one}, of one output{one}"


def _out_of_lists(model: keras.Model) -> keras.Model:
    """`model` without the lists or names around its one input and output."""
    ends = (getattr(model, "input", None), getattr(model, "output", None)) if model.built else ()
    if not any(isinstance(end, list | tuple | dict) for end in ends):
        return model
    if len(model.inputs) > 1:
        raise InputError(_inputs_problem(model.inputs))
    if len(model.outputs) > 1:
        raise InputError(_outputs_problem(model.outputs))
    if type(model).train_step is not keras.Model.train_step:
        rule = "a model with its own train_step must take and give a tensor"
        raise InputError(f"{rule}, not a list or dict of one")
    return keras.Model(model.inputs[0], model.outputs[0], name=model.name)


def _inputs_problem(inputs: Sequence[Any]) -> str:
    """What is wrong with several `inputs`, each by its name and the shape of one example."""
    shown = [f"{tensor.name} ({'×'.join(map(str, tensor.shape[1:]))})" for tensor in inputs]
    rule = f"the network takes {len(inputs)} inputs, {some(shown)}, but the data give one"
    remedy = "begin with one Input, and cut from it what each part of the network takes"
    return f"{rule} for each example: {remedy}"


def _outputs_problem(outputs: Any) -> str:
    """What is wrong with `outputs`, a list or dict of other than one."""
    n_outputs = len(keras.tree.flatten(outputs))
    return f"the network gives {n_outputs} outputs, but one is scored: give that alone"


def _shapes(model: keras.Model, images: tuple[int, ...]) -> tuple[Any, Any]:
    """The shapes of one image and of all outputs; a model that does not say is built for images."""
    if model.built and getattr(model, "inputs", None):
        return model.input_shape[1:], model.output_shape
    if type(model).call is keras.Model.call:
        rule = (
            f"{type(model).__name__} has no call(images), so that nothing is known but how it"
            " trains"
        )
        raise InputError(f"{rule}: write one that returns its outputs")
    outputs = model(keras.Input(images))
    if not hasattr(outputs, "shape"):  # a list or dict of them
        raise InputError(_outputs_problem(outputs))
    has_train_step = type(model).train_step is not keras.Model.train_step
    if not has_train_step and not hasattr(model(keras.Input(images), training=True), "shape"):
        rule = "the network gives several outputs while it trains"
        raise InputError(f"{rule}: give one there, too, or write its train_step")
    return images, tuple(outputs.shape)


def _takes(shape: tuple[int | None, ...], images: tuple[int, ...]) -> bool:
    return len(shape) == len(images) and all(
        a in {None, b} for a, b in zip(shape, images, strict=True)
    )


def _behind_reshape(
    model: keras.Model, takes: tuple[int | None, ...], images: tuple[int, ...]
) -> keras.Model:
    sizes: set[tuple[int | None, ...]] = {(math.prod(images),), (*images, 1)}
    if images[-1] == 1:
        sizes.add(images[:-1])
    if takes not in sizes:
        shown, expected = ("×".join(map(str, shape)) for shape in (takes, images))
        raise InputError(
            f"the model takes images of {shown}, but the data's are {expected}: give it that input"
            " shape"
        )
    if type(model).train_step is not keras.Model.train_step:
        raise InputError(
            "a model with its own train_step must take examples as they are,"
            f" {'×'.join(map(str, images))}"
        )
    start = [keras.Input(images), keras.layers.Reshape(takes)]
    if isinstance(model, keras.Sequential):
        return keras.Sequential([*start, *model.layers], name=model.name)
    return keras.Model(start[0], model(start[1](start[0])), name=model.name)
