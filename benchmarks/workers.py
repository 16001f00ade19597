"""How many workers a CPU should carry: `python benchmarks/workers.py [--runs 3]`.

Trains the same number of epochs with one process of all threads and with one process of one thread
per core, and prints the images per second of each. Alternating, medians.
"""

import argparse
import os
import statistics
import subprocess
import sys

import psutil

TRAIN = """
import sys, time
import keras, numpy as np
from search.training.recipe import compile_model
from search.registry import load_builder
model, batch = sys.argv[1], int(sys.argv[2])
rng = np.random.default_rng(0)
x, y = rng.random((20_000, 28, 28, 1), np.float32), rng.integers(0, 10, 20_000)
network = load_builder(model)({}, input_shape=x.shape[1:], n_classes=10)
compile_model(network, {"batch_size": batch}, total_updates=1000)
network.fit(x, y, batch_size=batch, verbose=0)
began = time.perf_counter()
network.fit(x, y, batch_size=batch, epochs=3, verbose=0)
print(60_000 / (time.perf_counter() - began))
"""


def rate(model: str, batch: int, workers: int, threads: int) -> float:
    """Images per second of all workers together."""
    names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    variables = os.environ | dict.fromkeys(names, str(threads)) | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", TRAIN, model, str(batch)]
    running = [
        subprocess.Popen(
            command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        for _ in range(workers)
    ]
    return sum(float(process.communicate()[0]) for process in running)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=3)
    runs, cores = parser.parse_args().runs, psutil.cpu_count() or 1
    for model, batch in (("convNN_1", 500), ("convNN_8", 100), ("mlp", 10), ("mlp", 100)):
        pairs = [(rate(model, batch, 1, cores), rate(model, batch, cores, 1)) for _ in range(runs)]
        single, many = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(
            f"{model} batch {batch}: 1 × {cores} threads {single:,.0f} images/s, {cores} × 1 thread"
            f" {many:,.0f} ({many / single:.2f} ×), medians of {runs}",
            flush=True,
        )


if __name__ == "__main__":
    main()
