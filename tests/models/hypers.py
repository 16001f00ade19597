"""Models as KerasTuner's users write them: they ask `hp` as they go, compile themselves, and know
nothing of us.
"""

from typing import Any

import keras
import keras_tuner
from keras import layers


def tutorial(hp: Any) -> keras.Model:
    """As in TensorFlow's own tutorial: no input shape, and a loss from logits."""
    model = keras.Sequential()
    model.add(layers.Flatten())
    model.add(
        layers.Dense(units=hp.Int("units", min_value=4, max_value=12, step=4), activation="relu")
    )
    model.add(layers.Dropout(0.3))
    model.add(layers.Dense(10))
    rate = hp.Choice("learning_rate", values=[1e-2, 1e-3])
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate=rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def scoped(hp: Any) -> keras.Model:
    """Conditional scopes, a loop over an hp, names that mean something else here, and labels in
    rows of 0 and 1.
    """
    kind = hp.Choice("kind", ["mlp", "cnn"])
    model = keras.Sequential([keras.Input((8, 8, 1))])
    with hp.conditional_scope("kind", ["cnn"]):
        if kind == "cnn":
            model.add(layers.Conv2D(hp.Int("filters", 2, 8, sampling="log"), 3))
    model.add(layers.Flatten())
    with hp.conditional_scope("kind", ["mlp"]):
        if kind == "mlp":
            for i in range(hp.Int("depth", 1, 2)):
                with hp.name_scope(f"block {i}"):
                    model.add(layers.Dense(hp.Int("units", 4, 8), activation="relu"))
                if hp.Boolean("dropout"):
                    model.add(layers.Dropout(0.25))
    model.add(layers.Dense(10, activation="softmax"))
    model.compile(hp.Choice("optimizer", ["adam", "sgd"]), loss="categorical_crossentropy")
    return model


def uncompiled(hp: Any) -> keras.Model:
    """Leaves compiling to whoever trains it, and takes images without their channel."""
    inputs = keras.Input((8, 8))
    hidden = layers.Dense(hp.Int("units", 4, 8))(layers.Flatten()(inputs))
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(hidden))


class Hyper(keras_tuner.HyperModel):  # type: ignore[misc]  # keras_tuner has no types
    """Made for images and classes that it is told of."""

    def __init__(
        self, input_shape: tuple[int, ...], classes: int, loss: Any = "categorical_crossentropy"
    ) -> None:
        super().__init__()
        self.shape, self.classes, self.loss = input_shape, classes, loss

    def build(self, hp: Any) -> keras.Model:
        """One layer between."""
        model = keras.Sequential(
            [keras.Input(self.shape), layers.Flatten(), layers.Dense(hp.Int("units", 4, 8))]
        )
        model.add(layers.Dense(self.classes, activation="softmax"))
        model.compile("sgd", loss=self.loss)
        return model


class Weighing(Hyper):
    """Trains itself, with what no trial here has."""

    def fit(self, hp: Any, model: keras.Model, *args: Any, **kwargs: Any) -> Any:
        """Weigh the classes."""
        weights = dict.fromkeys(range(10), 1.0)
        return model.fit(*args, shuffle=hp.Boolean("shuffle"), class_weight=weights, **kwargs)


class Unbuilt(keras_tuner.HyperModel):  # type: ignore[misc]
    """Has no `build` of its own."""


def one_size(hp: Any) -> keras.Model:
    """Only one value of `image_size` fits the data, and it is not the default."""
    size = hp.Choice("image_size", [16, 8, 32])
    model = keras.Sequential([keras.Input((size, size, 1)), layers.Flatten()])
    for i in range(hp.Int("n_layers", 1, 3)):
        model.add(layers.Dense(hp.Int(f"units_{i}", 4, 8)))
    model.add(layers.Dense(10, activation="softmax"))
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


by_rows = Hyper((8, 8, 1), 10)
by_numbers = Hyper((8, 8, 1), 10, loss="sparse_categorical_crossentropy")
for_five_classes = Hyper((8, 8, 1), 5)
for_larger_images = Hyper((9, 9, 1), 10)
with_two_losses = Hyper((8, 8, 1), 10, loss={"dense": "mse", "other": "mse"})
without_a_loss = Hyper((8, 8, 1), 10, loss=None)


def plain() -> keras.Model:
    """A function without hyperparameters, as many programs have one."""
    model = keras.Sequential([layers.Flatten(), layers.Dense(10, activation="softmax")])
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
    return model


def of_shape(input_shape: tuple[int, ...], num_classes: int, width: int = 6) -> keras.Model:
    """A function of the data's facts, whose other arguments have defaults."""
    model = keras.Sequential([keras.Input(input_shape), layers.Flatten(), layers.Dense(width)])
    model.add(layers.Dense(num_classes, activation="softmax"))
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
    return model


class Named(keras_tuner.HyperModel):
    """A class that is made with what no data set says."""

    def __init__(self, label: str) -> None:
        super().__init__(label, tunable=True)

    def build(self, hp: Any) -> keras.Model:
        """As `tutorial`."""
        return tutorial(hp)
