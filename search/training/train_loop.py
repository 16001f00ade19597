"""Epochs of training steps, as fast as the backend allows.

On TensorFlow a whole stretch of an epoch is one call of one graph, which slices, scales and
augments its batches: `fit` spends as much time on feeding small networks as on training them
(docs/measurements.md). On JAX networks of dense layers train so; others by `fit`, as on other
backends, since XLA runs convolutions in a loop three times slower than outside on a CPU.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import keras
import numpy as np
from numpy.typing import NDArray


class Images(Protocol):
    """Examples that are read by rows, as an array is, mapped or not: uint8 pixels (n, h, w, c), or
    numbers (n, …) of any kind.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, …)."""
        ...

    @property
    def dtype(self) -> Any:
        """NumPy's."""
        ...

    def __len__(self) -> int:
        """Return how many there are."""
        ...

    def __getitem__(self, rows: Any, /) -> Any:
        """Return one example, or an array of those of a slice or of an array of numbers."""
        ...


Labels = NDArray[Any]
"""int64 (n,) of classes, else numbers (n, width)."""
Chunk = tuple[NDArray[Any], Labels] | tuple[NDArray[Any], Labels, NDArray[np.float32]]
"""Examples, targets and, where these differ, what each example's loss counts (n,)."""
Prepare = Callable[[Any], Any]
"""A batch of images → what the network takes, by Keras operations."""
PREDICT_BATCH = 500


class TrainLoop(Protocol):
    """Trains and asks one compiled network."""

    def train(self, chunks: Iterable[Chunk]) -> dict[str, float]:
        """One epoch over `chunks` in order; mean loss and metrics of the network as it trained."""
        ...

    def predict(self, images: Images) -> NDArray[np.float32]:
        """The network's outputs (n, width) in inference mode."""
        ...


def make_train_loop(
    model: keras.Model,
    *,
    sample: Chunk,
    batch_size: int,
    prepare: Prepare,
    augment: keras.Layer | None,
) -> TrainLoop:
    """The loop for the backend at hand, for examples and targets like `sample`.

    `prepare` is applied to every batch, and then `augment` to those that are trained on.
    """
    if keras.backend.backend() == "tensorflow":
        return _GraphLoop(model, sample, batch_size, prepare, augment)
    if keras.backend.backend() == "jax" and _is_dense(model):
        return _ScanLoop(model, sample, batch_size, prepare, augment)
    return _FitLoop(model, batch_size, prepare, augment)


_DENSE = (
    keras.layers.Activation,
    keras.layers.BatchNormalization,
    keras.layers.Dense,
    keras.layers.Dropout,
    keras.layers.Flatten,
    keras.layers.InputLayer,
    keras.layers.LayerNormalization,
    keras.layers.ReLU,
    keras.layers.Rescaling,
    keras.layers.Softmax,
)


def _is_dense(model: keras.Model) -> bool:
    """Whether `model` is made of Keras' dense layers, and trains as Keras has it."""
    is_plain = type(model).train_step is keras.Model.train_step
    return is_plain and all(type(layer) in _DENSE for layer in model.layers)


class _GraphLoop:
    """TensorFlow: `train_step` in a loop inside one graph."""

    def __init__(
        self,
        model: keras.Model,
        sample: Chunk,
        batch_size: int,
        prepare: Prepare,
        augment: keras.Layer | None,
    ) -> None:
        import tensorflow as tf  # noqa: PLC0415  other backends run without it

        self._model = model
        images_spec, *others_spec = (
            tf.TensorSpec((None, *array.shape[1:]), array.dtype) for array in sample
        )
        _make_metrics(model, sample, prepare)

        # Without autograph, which would rewrite all that is traced first.
        @tf.function(input_signature=(images_spec, tuple(others_spec)), autograph=False)
        def train(images: Any, others: Any) -> None:
            n = tf.shape(images)[0]

            def step(begin: Any) -> tuple[Any]:
                end = tf.minimum(begin + batch_size, n)
                batch = [array[begin:end] for array in others]
                model.train_step((_augmented(augment, prepare(images[begin:end])), *batch))
                return (begin + batch_size,)

            tf.while_loop(lambda begin: begin < n, step, (0,))

        @tf.function(input_signature=(images_spec,), autograph=False)
        def predict(images: Any) -> Any:
            return model(prepare(images), training=False)

        self._train = train
        self._predict = predict
        self._as_tensor = tf.convert_to_tensor

    def train(self, chunks: Iterable[Chunk]) -> dict[str, float]:
        self._model.reset_metrics()
        for images, *others in chunks:
            self._train(self._as_tensor(images), tuple(self._as_tensor(o) for o in others))
        return {name: float(value) for name, value in self._model.get_metrics_result().items()}

    def predict(self, images: Images) -> NDArray[np.float32]:
        starts = range(0, len(images), PREDICT_BATCH)
        parts = [self._predict(self._as_tensor(images[i : i + PREDICT_BATCH])) for i in starts]
        return np.concatenate([np.asarray(p, dtype=np.float32) for p in parts])


class _ScanLoop:
    """JAX: `train_step` in a scan over the batches of a stretch."""

    def __init__(
        self,
        model: keras.Model,
        sample: Chunk,
        batch_size: int,
        prepare: Prepare,
        augment: keras.Layer | None,
    ) -> None:
        import jax  # noqa: PLC0415  other backends run without it

        _make_metrics(model, sample, prepare)
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        self._model, self._batch_size = model, batch_size
        self._variables: list[list[Any]] = [
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
            [] if augment is None else augment.variables,
        ]
        *_, of_augment = self._variables

        def step(state: Any, batch: Any) -> tuple[Any, None]:
            *of_model, values = state
            images, *others = batch
            with keras.StatelessScope(zip(of_augment, values, strict=True)) as scope:
                changed = _augmented(augment, prepare(images))
            _, of_model = model.train_step(tuple(of_model), (changed, *others))
            return (*of_model, [scope.get_current_value(v) for v in of_augment]), None

        def predict(values: Any, images: Any) -> Any:
            outputs, _ = model.stateless_call(*values, prepare(images), training=False)
            return outputs

        self._train = jax.jit(lambda state, batches: jax.lax.scan(step, state, batches)[0])
        self._ask = jax.jit(predict)

    def train(self, chunks: Iterable[Chunk]) -> dict[str, float]:
        self._model.reset_metrics()
        state = self._state()
        for chunk in chunks:
            for batches in _batches(chunk, self._batch_size):
                state = self._train(state, batches)
        for variables, values in zip(self._variables, state, strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
        return {name: float(value) for name, value in self._model.get_metrics_result().items()}

    def predict(self, images: Images) -> NDArray[np.float32]:
        values = self._state()[:2]
        starts = range(0, len(images), PREDICT_BATCH)
        parts = [self._ask(values, images[i : i + PREDICT_BATCH]) for i in starts]
        return np.concatenate([np.asarray(p, dtype=np.float32) for p in parts])

    def _state(self) -> tuple[list[Any], ...]:
        return tuple([v.value for v in variables] for variables in self._variables)


def _batches(chunk: Chunk, batch_size: int) -> Iterator[tuple[NDArray[Any], ...]]:
    """The examples of `chunk` by whole batches (n, batch, …), then the rest as one batch."""
    whole = len(chunk[0]) // batch_size * batch_size
    if whole:
        yield tuple(a[:whole].reshape(-1, batch_size, *a.shape[1:]) for a in chunk)
    if whole < len(chunk[0]):
        yield tuple(array[None, whole:] for array in chunk)


def _augmented(augment: keras.Layer | None, images: Any) -> Any:
    return images if augment is None else augment(images, training=True)


def _make_metrics(model: keras.Model, sample: Chunk, prepare: Prepare) -> None:
    """Let `model` make its metrics' variables: made while the epoch is traced, they would have it
    traced again.
    """
    images, *others = map(keras.ops.convert_to_tensor, (prepare(sample[0]), *sample[1:]))
    targets, *weights = others
    model.compute_metrics(images, targets, model(images, training=False), *weights)


class _FitLoop:
    """Any backend: `fit` over one chunk at a time."""

    def __init__(
        self, model: keras.Model, batch_size: int, prepare: Prepare, augment: keras.Layer | None
    ) -> None:
        self._model = model
        self._batch_size = batch_size
        self._prepare = prepare
        self._augment = augment

    def train(self, chunks: Iterable[Chunk]) -> dict[str, float]:
        totals: dict[str, float] = {}
        n = 0
        for images, labels, *weights in chunks:
            ready = keras.ops.convert_to_numpy(_augmented(self._augment, self._prepare(images)))
            history = self._model.fit(
                ready,
                labels,
                sample_weight=weights[0] if weights else None,
                batch_size=self._batch_size,
                shuffle=False,
                epochs=1,
                verbose=0,
            ).history
            n += len(labels)
            for name, values in history.items():
                totals[name] = totals.get(name, 0.0) + float(values[-1]) * len(labels)
        return {name: total / n for name, total in totals.items()}

    def predict(self, images: Images) -> NDArray[np.float32]:
        starts = range(0, len(images), PREDICT_BATCH)
        parts = [self._prepare(images[i : i + PREDICT_BATCH]) for i in starts]
        return np.concatenate(
            [
                np.asarray(
                    keras.ops.convert_to_numpy(self._model.predict_on_batch(p)), dtype=np.float32
                )
                for p in parts
            ]
        )
