"""What the service costs beside training itself: `python benchmarks/overhead.py [--runs 3]`.

(a) Eight fixed trials × 5 epochs of convNN_1 on fashion with one worker, everything on but finalists and nothing
    pruned, against the same eight fitted one after another in one bare Keras process. Both see the same split, batch
    size, epochs, validation and threads; they alternate, and the medians' ratio is what counts, since times here are
    noisy. Finalists would be more training than the bare process does, not overhead: `gridless study` trains them
    again by default, for about as long as the search.
(b) From asking for a trial to its first training step: the time between the claim and «network built, data at hand».
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

import psutil

N_TRIALS, EPOCHS = 8, 5
SETTINGS = [
    {"lr": lr, "batch_size": 500, "units": 100}
    for lr in (0.05, 0.02, 0.1, 0.2, 0.01, 0.03, 0.07, 0.15)
]

BARE = """
import json, sys
import keras, numpy as np
from pathlib import Path
from search.datasets.split import read_split
from search.models.convnn import build_1
split = read_split(Path(sys.argv[1]))
x, x_val = (np.asarray(a, np.float32) / 255 for a in (split.x_train, split.x_val))
y, y_val = np.asarray(split.y_train), np.asarray(split.y_val)
for params in json.loads(sys.argv[2]):
    model = build_1(params, input_shape=x.shape[1:], n_classes=10)
    model.compile(keras.optimizers.SGD(params["lr"]), "sparse_categorical_crossentropy", metrics=["accuracy"],
                  jit_compile=False)
    model.fit(x, y, batch_size=params["batch_size"], epochs=int(sys.argv[3]), validation_data=(x_val, y_val),
              validation_batch_size=500, verbose=0)
"""


def bare(data: Path, threads: int) -> float:
    """Wall seconds of one bare Keras process that fits all settings."""
    names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    variables = os.environ | dict.fromkeys(names, str(threads)) | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    began = time.perf_counter()
    command = [sys.executable, "-c", BARE, str(data), json.dumps(SETTINGS), str(EPOCHS)]
    subprocess.run(command, env=variables, check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def service(home: Path, data: str, threads: int) -> tuple[float, float, list[float]]:
    """Wall seconds of the command, of the search (claim to last end), of trials' starts."""
    tries = [
        part for s in SETTINGS[1:] for part in ("--try", ",".join(f"{k}={v}" for k, v in s.items()))
    ]
    command = [
        str(Path(sys.executable).parent / "gridless"),
        "study",
        "convNN_1",
        data,
        "--n-trials",
        str(N_TRIALS),
    ]
    command += [
        "--epochs",
        str(EPOCHS),
        "--workers",
        "1",
        "--threads",
        str(threads),
        "--strategy",
        "random",
        "--quiet",
    ]
    command += ["--finalists", "0"]
    began = time.perf_counter()
    subprocess.run(
        [*command, *tries],
        env=os.environ | {"GRIDLESS_HOME": str(home)},
        check=True,
        capture_output=True,
    )
    whole = time.perf_counter() - began
    from search.study.storage.optuna_storage import LedgerStorage
    from search.study.storage.read import read_study

    trials = read_study(
        LedgerStorage(f"sqlite:///{home / 'studies.db'}"), f"convNN_1-{data}"
    ).trials
    assert [t.state for t in trials] == ["COMPLETE"] * N_TRIALS
    assert sum(t.epochs for t in trials) == N_TRIALS * EPOCHS
    starts = [
        t.curve[0].at - t.curve[0].seconds - t.started.timestamp() for t in trials if t.started
    ]
    first = min(t.started for t in trials if t.started)
    last = max(t.ended for t in trials if t.ended)
    assert isinstance(first, datetime)
    return whole, (last - first).total_seconds(), starts


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--data", default="fashion")
    args = parser.parse_args()
    threads = psutil.cpu_count() or 1
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GRIDLESS_HOME"] = folder
        from search.datasets import load
        from search.datasets.split import prepare

        data = prepare(
            load(args.data), seed=0, validation_fraction=1 / 6, cache=Path(folder) / ".cache"
        ).folder
        cached = Path(folder) / ".cache"
        for i in range(args.runs):
            home = Path(folder) / f"run{i}"
            home.mkdir()
            (home / ".cache").symlink_to(cached)
            a = bare(data, threads)
            whole, searching, starts = service(home, args.data, threads)
            rows.append((a, whole, searching, max(starts[1:])))
            print(
                f"run {i + 1}: bare {a:.1f} s, service {whole:.1f} s ({whole / a:.3f} ×;"
                f" {searching:.1f} s of it between first claim and last end), slowest start after"
                f" the first {max(starts[1:]):.2f} s",
                flush=True,
            )
    medians = [statistics.median(column) for column in zip(*rows, strict=True)]
    print(
        f"medians of {args.runs}, without finalists: bare {medians[0]:.1f} s, service"
        f" {medians[1]:.1f} s: {medians[1] / medians[0]:.3f} ×; start {medians[3]:.2f} s"
    )


if __name__ == "__main__":
    main()
