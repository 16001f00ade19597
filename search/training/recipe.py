"""Params → a compiled model: with `schedule`, `augment` and `scaling` all that training reads."""

from collections.abc import Iterator, Mapping
from typing import Any

import keras

from search.space.optimizers import OPTIMIZERS
from search.space.training_params import TRAINING
from search.training.classifier_outputs import Outputs
from search.training.schedule import base_rate

SMALL_BATCH_STEPS = 32
_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
_TRANSPOSED = (
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)


def training_params() -> tuple[str, ...]:
    """The names that training reads, sorted; a space's other parameters belong to the builder."""
    return tuple(sorted(TRAINING))


def make_optimizer(
    params: Mapping[str, Any], *, total_updates: int, assigned: bool = False
) -> keras.optimizers.Optimizer:
    """The optimizer of `params`: optimizer (sgd by default), lr (0.01), momentum and nesterov (sgd
    only), weight_decay.

    weight_decay is decoupled from the gradient for every optimizer; 0 is none, and without one
    adamw has Keras' 0.004. Where schedule is time_decay or cosine, the rate follows the optimizer's
    own count of updates, of which there will be `total_updates`; else, and where rates are
    `assigned` whatever the schedule, it is a variable.

    Raises ValueError for an optimizer that is not known.
    """
    name = params.get("optimizer", "sgd")
    if name not in OPTIMIZERS:
        raise ValueError(f"optimizer: {name!r} is not known; give one of {', '.join(OPTIMIZERS)}")
    options: dict[str, Any] = {}
    if name == "sgd":
        # Nesterov's correction is undefined without momentum; Keras applies it as plain SGD.
        options = {
            "momentum": float(params.get("momentum", 0.0)),
            "nesterov": bool(params.get("nesterov", False)),
        }
    if "weight_decay" in params:
        decay = float(params["weight_decay"])
        options["weight_decay"] = decay if decay or name == "adamw" else None  # AdamW takes no None
    kind = getattr(keras.optimizers, OPTIMIZERS[name].keras_name)
    optimizer: keras.optimizers.Optimizer = kind(
        _learning_rate(params, total_updates, assigned), **options
    )
    return optimizer


def _learning_rate(params: Mapping[str, Any], total_updates: int, assigned: bool) -> Any:
    lr = base_rate(params)
    match None if assigned else params.get("schedule"):
        case "time_decay":
            return keras.optimizers.schedules.InverseTimeDecay(
                lr, 1, float(params.get("decay", 0.0))
            )
        case "cosine":
            # Never upwards: a search may draw an lr_min above lr.
            lowest = min(1.0, float(params.get("lr_min", 0.0)) / lr)
            return keras.optimizers.schedules.CosineDecay(lr, total_updates, alpha=lowest)
    return lr


def compile_model(
    model: keras.Model,
    params: Mapping[str, Any],
    *,
    total_updates: int,
    assigned: bool = False,
    outputs: Outputs = Outputs.PROBABILITIES,
) -> None:
    """Compile the built `model`, which gives `outputs`, with cross-entropy and accuracy, or for
    numbers with the squared error; targets are as `Outputs.targets` makes them.

    Read are label_smoothing (0 by default), max_norm (of all kernels, unless the builder
    constrained some itself) and what `make_optimizer` reads. Several steps run per call where
    batches are small, since the call then costs as much as the step. XLA is off: on CPUs it made an
    epoch of these networks three times as long.
    """
    if max_norm := params.get("max_norm"):
        _constrain(model, float(max_norm))
    model.compile(
        optimizer=make_optimizer(params, total_updates=total_updates, assigned=assigned),
        loss=_loss(float(params.get("label_smoothing", 0.0)), outputs),
        metrics=training_metrics(outputs),
        steps_per_execution=steps_per_execution(int(params.get("batch_size", 32))),
        jit_compile=keras.backend.backend() == "jax",
    )


def training_metrics(outputs: Outputs) -> list[Any]:
    """What is measured of `outputs` while they are trained, beside the loss: accuracy, of numbers
    nothing.
    """
    if outputs.is_by_class:
        return ["accuracy"]
    if outputs is Outputs.NUMBERS:
        return []
    boundary = 0.0 if outputs.is_logits else 0.5

    def accuracy(y_true: Any, y_pred: Any) -> Any:
        hits = keras.ops.equal(y_true >= 0.5, y_pred >= boundary)
        return keras.ops.mean(keras.ops.cast(hits, "float32"), axis=-1)

    return [keras.metrics.MeanMetricWrapper(accuracy, name="accuracy")]


def _loss(smoothing: float, outputs: Outputs) -> Any:
    if outputs is Outputs.NUMBERS:
        return "mse"
    if not outputs.is_by_class:
        return keras.losses.BinaryCrossentropy(outputs.is_logits, smoothing)
    if outputs is Outputs.PROBABILITIES and not smoothing:
        return "sparse_categorical_crossentropy"
    logits = outputs is Outputs.LOGITS
    if smoothing:
        loss = SmoothedCrossentropy(smoothing, from_logits=logits)
    else:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=logits)
    return _of_scores(loss) if outputs is Outputs.SCORES else loss


def _of_scores(loss: keras.losses.Loss) -> Any:
    """`loss` of the probabilities that scores stand for. Keras itself would take softmax of what a
    sigmoid was given, and so train another network than the one that is scored and kept.
    """

    def of_scores(y_true: Any, y_pred: Any) -> Any:
        return loss.call(y_true, Outputs.SCORES.in_graph(y_pred))

    return of_scores


def steps_per_execution(batch_size: int) -> int:
    """Training steps run per call for a batch size: 32 for the smallest, 1 from 500 images on."""
    return max(1, min(SMALL_BATCH_STEPS, 500 // batch_size))


@keras.saving.register_keras_serializable("gridless")
class SmoothedCrossentropy(keras.losses.Loss):  # type: ignore[misc]  # keras has no types
    """Cross-entropy of integer labels (n,) and probabilities or logits (n, classes) with label
    smoothing in [0, 1).

    The true class is expected with 1 − smoothing, and smoothing is shared by all classes. Keras has
    it for one-hot labels only.
    """

    def __init__(
        self,
        smoothing: float,
        name: str = "smoothed_crossentropy",
        from_logits: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(name=name, **options)
        self.smoothing, self.from_logits = smoothing, from_logits

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each image."""
        n_classes = y_pred.shape[-1]
        labels = keras.ops.one_hot(
            keras.ops.reshape(keras.ops.cast(y_true, "int32"), (-1,)), n_classes
        )
        expected = labels * (1.0 - self.smoothing) + self.smoothing / n_classes
        return keras.ops.categorical_crossentropy(expected, y_pred, from_logits=self.from_logits)

    def get_config(self) -> dict[str, Any]:
        """Return what a saved model needs to make it again."""
        return {
            **super().get_config(),
            "smoothing": self.smoothing,
            "from_logits": self.from_logits,
        }


def _constrain(model: keras.Model, max_norm: float) -> None:
    kernels = list(_kernels(model))
    if any(kernel.constraint is not None for kernel, _ in kernels):
        return
    for kernel, axes in kernels:
        kernel.constraint = keras.constraints.MaxNorm(max_norm, axis=axes)


def _kernels(model: keras.Model) -> Iterator[tuple[keras.Variable, list[int]]]:
    """Each kernel with the axes along which the weights into one unit lie."""
    for layer in model._flatten_layers(
        include_self=False
    ):  # the public `layers` leaves out layers inside layers
        for name in ("kernel", "depthwise_kernel", "pointwise_kernel"):
            kernel = getattr(layer, name, None)
            if isinstance(kernel, keras.Variable):
                axes = list(range(len(kernel.shape)))
                if name == "depthwise_kernel" or isinstance(layer, _DEPTHWISE):
                    yield kernel, axes[:-2]  # (…, channels, multiplier)
                elif isinstance(layer, _TRANSPOSED):
                    yield kernel, [*axes[:-2], axes[-1]]  # (…, out, in)
                else:
                    yield kernel, axes[:-1]
