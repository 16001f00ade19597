"""How long people wait: `python benchmarks/waiting.py [--runs 3]`, medians of seconds in new homes.

Ten trials of mlp on digits without finalists, MLflow and report included, beside one bare Keras
process that fits the same ten settings for the same epochs one after another; then what the same
and other commands take when asked again. The first time Gridless builds each model's choices; what
that shows is remembered.
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
from collections.abc import Mapping
from pathlib import Path

GRIDLESS = str(Path(sys.executable).parent / "gridless")
STUDY = ("study", "mlp", "digits", "--n-trials", "10", "--finalists", "0", "--name", "wait")
BARE = """
import json, sys
import keras, numpy as np
from search.datasets import load
from search.models.mlp import build
data = load("digits")
x, y = np.asarray(data.x_train, np.float32) / 255, np.asarray(data.y_train)
part = len(x) // 6
for params, epochs in json.load(sys.stdin):
    model = build(params, input_shape=x.shape[1:], n_classes=10)
    moved = {k: params[k] for k in ("momentum", "nesterov") if params["optimizer"] == "sgd"}
    optimizer = type(keras.optimizers.get(params["optimizer"]))(learning_rate=params["lr"], **moved)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x[part:], y[part:], batch_size=params["batch_size"], epochs=epochs,
              validation_data=(x[:part], y[:part]), verbose=0)
"""


def timed(*arguments: str, env: Mapping[str, str]) -> float:
    """Wall seconds of a gridless command."""
    began = time.perf_counter()
    subprocess.run([GRIDLESS, *arguments], check=True, capture_output=True, env=env)
    return time.perf_counter() - began


def bare() -> float:
    """Wall seconds of one process that fits what the study has trained."""
    import search

    study = search.load_study("wait")
    curves = study.curves.groupby("trial")["step"].max()
    rows = study.trials.set_index("trial")
    names = [name for name in rows if name.startswith("param.")]
    jobs = [
        ({n.removeprefix("param."): rows[n][i] for n in names}, int(curves[i]))
        for i in curves.index
    ]
    text = json.dumps(jobs, default=lambda value: value.item())
    began = time.perf_counter()
    quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", BARE]
    subprocess.run(command, input=text, text=True, check=True, env=quiet)
    return time.perf_counter() - began


def measured() -> dict[str, float]:
    """All of it once, in a new home."""
    import search

    with tempfile.TemporaryDirectory() as folder:
        os.environ["GRIDLESS_HOME"] = folder
        env = dict(os.environ)
        seconds = {}
        began = time.time()
        seconds["study, ten trials"] = timed(*STUDY, env=env)
        first = search.load_study("wait").curves["at"].min().timestamp()
        seconds["its first epoch"] = first - began
        seconds["bare Keras, the same ten"] = bare()
        seconds["the same command again"] = timed(*STUDY, env=env)
        others = {
            "--dry-run": ("study", "mlp", "digits", "--name", "other", "--dry-run"),
            "models": ("models",),
            "space check": ("space", "check", "spaces/mlp.yaml", "--data", "digits"),
            "status": ("status",),
        }
        for name, arguments in others.items():
            seconds[f"{name}, first time"] = timed(*arguments, env=env)
            seconds[f"{name}, again"] = timed(*arguments, env=env)
        return seconds


def main() -> None:
    """Print a table of medians and extremes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    n_runs = parser.parse_args().runs
    runs = [measured() for _ in range(n_runs)]
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    for name in runs[0]:
        values = sorted(run[name] for run in runs)
        print(f"{name:28} {statistics.median(values):6.2f}  ({values[0]:.2f} to {values[-1]:.2f})")
    ratios = [run["study, ten trials"] / run["bare Keras, the same ten"] for run in runs]
    print(f"study over bare Keras: {statistics.median(ratios):.2f}, n = {n_runs}")


if __name__ == "__main__":
    main()
