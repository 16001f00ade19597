"""What programs for KerasTuner are made of, on digits."""

from typing import Any

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits

import search.keras_tuner as kt

IMAGES, LABELS = load_digits(return_X_y=True)
IMAGES = (IMAGES.reshape(-1, 8, 8, 1) / 16).astype("float32")
TRAIN, VALIDATION = (IMAGES[:600], LABELS[:600]), (IMAGES[600:800], LABELS[600:800])


def build(hp: Any) -> keras.Model:
    model = keras.Sequential([layers.Flatten()])
    for i in range(hp.Int("n_layers", 1, 2)):
        model.add(layers.Dense(hp.Int(f"units_{i}", 16, 48, step=16), activation="relu"))
    model.add(layers.Dense(10, activation="softmax"))
    rate = hp.Float("rate", 1e-3, 1e-2, sampling="log")
    loss = "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    return model


class PassesOn(kt.HyperModel):
    def build(self, hp: Any) -> keras.Model:
        return build(hp)

    def fit(self, hp: Any, model: Any, *args: Any, **kwargs: Any) -> Any:
        return model.fit(*args, batch_size=hp.Choice("batch_size", [32, 64]), **kwargs)


class Measures(kt.HyperModel):
    """Its `fit` returns a number of its own."""

    def build(self, hp: Any) -> keras.Model:
        return build(hp)

    def fit(self, hp: Any, model: Any, x: Any, y: Any, validation_data: Any, **kwargs: Any) -> Any:
        model.fit(x, y, **kwargs)
        return float(np.mean(model.predict(validation_data[0], verbose=0)[:, 0]))


class Loop(kt.HyperModel):
    """Its `fit` trains without Keras'."""

    def build(self, hp: Any) -> keras.Model:
        return build(hp)

    def fit(self, hp: Any, model: Any, x: Any, y: Any, callbacks: Any, **kwargs: Any) -> float:
        model.optimizer.learning_rate = hp.Choice("start", [0.1, 0.01])
        best = 1e9
        for callback in callbacks:
            callback.set_model(model)
        for epoch in range(2):
            loss = float(model.train_on_batch(x, y)[0])
            for callback in callbacks:
                callback.on_epoch_end(epoch, logs={"my_loss": loss})
            best = min(best, loss)
        return best


class Square(kt.RandomSearch):
    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> float:
        return trial.hyperparameters.Float("x", -1.0, 1.0) ** 2
