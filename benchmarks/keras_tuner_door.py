"""A program for KerasTuner beside the same with its import line changed, whole programs in seconds:
`python benchmarks/keras_tuner_door.py [--runs 3]`, medians, in turns, each in a folder of its own.

RandomSearch of ten rates for a small network on digits, ten epochs each, one process that trains;
what is searched makes no training longer. Of ours, MLflow and the report are part of it.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time

PROGRAM = """
import keras
import IMPORTED as kt
from keras import layers
from sklearn.datasets import load_digits

x, y = load_digits(return_X_y=True)
x = (x.reshape(-1, 8, 8, 1) / 16).astype("float32")

def build(hp):
    model = keras.Sequential([
        keras.Input((8, 8, 1)),
        layers.Conv2D(32, 3, activation="relu"),
        layers.Flatten(),
        layers.Dense(64, activation="relu"),
        layers.Dense(10, activation="softmax"),
    ])
    rate = hp.Float("rate", 1e-4, 1e-2, sampling="log")
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model

tuner = kt.RandomSearch(build, "val_accuracy", max_trials=10, seed=1, directory="there", MORE)
tuner.search(x[:1400], y[:1400], epochs=10, validation_data=(x[1400:], y[1400:]), verbose=0)
print(tuner.oracle.get_best_trials(1)[0].score, len(tuner.oracle.trials))
"""
SIDES = {"keras_tuner": "", "search.keras_tuner": "workers=1"}


def timed(imported: str) -> float:
    """Wall seconds of the program."""
    text = PROGRAM.replace("IMPORTED", imported).replace("MORE", SIDES[imported])
    variables = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        command = [sys.executable, "-c", text]
        done = subprocess.run(
            command, cwd=folder, env=variables, check=True, capture_output=True, text=True
        )
        seconds = time.perf_counter() - began
    print(imported, f"{seconds:.1f} s", done.stdout.splitlines()[-1], file=sys.stderr)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    seconds: dict[str, list[float]] = {side: [] for side in SIDES}
    for _ in range(runs):
        for side, taken in seconds.items():
            taken.append(timed(side))
    medians = {side: statistics.median(taken) for side, taken in seconds.items()}
    ratio = medians["search.keras_tuner"] / medians["keras_tuner"]
    facts = {"python": platform.python_version(), "cores": os.cpu_count(), "runs": runs}
    print(json.dumps({**facts, "seconds": seconds, "ratio": round(ratio, 2)}, indent=1))


if __name__ == "__main__":
    main()
