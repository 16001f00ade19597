"""Seconds per training epoch, against `model.fit` on NumPy arrays: `python benchmarks/epochs.py
[MODEL …]`.

Ways to train, alternating in one process and on one thread, medians of --runs epochs of --images
random images, after one that is not counted: `fit` as users write it; `fit` with as many steps per
call as batches are small (steps_per_execution); our engine, which feeds and trains a whole stretch
of an epoch in one graph; and our engine computing in bfloat16, which only CPUs with AMX or
AVX512-BF16, and GPUs, are fast at. Ratios above 1 are how many times faster than `fit` a way is.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

BATCHES = (10, 32, 50, 100, 250, 500)
WAYS = ("fit", "fit, steps_per_execution", "engine", "engine, bfloat16")


def epoch_of(way: str, model_name: str, batch_size: int, n_images: int) -> Callable[[], None]:
    """A function that trains one epoch."""
    import keras
    import numpy as np

    from search.registry import load_builder
    from search.training.feed import Part, chunks, epoch_order
    from search.training.recipe import compile_model, steps_per_execution
    from search.training.scaling import scale, scale_in_graph
    from search.training.train_loop import make_train_loop

    shape = (32, 32, 3) if model_name in {"lab_cnn", "cifar_cnn", "alexnet"} else (28, 28, 1)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (n_images, *shape), dtype=np.uint8)
    labels = rng.integers(0, 10, n_images)
    keras.config.set_dtype_policy("mixed_bfloat16" if way.endswith("bfloat16") else "float32")
    keras.utils.set_random_seed(0)
    model = load_builder(model_name)({}, input_shape=shape, n_classes=10)
    if way.startswith("engine"):
        compile_model(model, {"lr": 0.01, "batch_size": batch_size}, total_updates=1000)
        model.optimizer.build(model.trainable_variables)
        loop = make_train_loop(
            model,
            sample=(images[:1], labels[:1]),
            batch_size=batch_size,
            prepare=lambda x: scale_in_graph(x, "unit"),
            augment=None,
        )
        order = epoch_order(n_images, batch_size, seed=0, step=1, drop=False)
        return lambda: loop.train(chunks(Part(images, labels), order, batch_size))
    steps = steps_per_execution(batch_size) if way != "fit" else 1
    model.compile(
        optimizer=keras.optimizers.SGD(0.01),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        steps_per_execution=steps,
        jit_compile=False,
    )
    x = scale(images)
    return lambda: model.fit(x, labels, batch_size=batch_size, epochs=1, verbose=0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", default=["mlp", "convNN_1"])
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", default="1")
    args = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[name] = args.threads
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    print(f"| model | batch | {' | '.join(f'{way}, s' for way in WAYS)} | {' | '.join(WAYS[1:])} |")
    print("|---" * (2 * len(WAYS) + 1) + "|")
    for model in args.models:
        for batch_size in BATCHES:
            epochs = {way: epoch_of(way, model, batch_size, args.images) for way in WAYS}
            seconds: dict[str, list[float]] = {way: [] for way in WAYS}
            for run in range(args.runs + 1):
                for way, epoch in epochs.items():
                    began = time.perf_counter()
                    epoch()
                    if run:
                        seconds[way].append(time.perf_counter() - began)
            median = {way: statistics.median(times) for way, times in seconds.items()}
            times = " | ".join(f"{median[way]:.2f}" for way in WAYS)
            ratios = " | ".join(f"{median['fit'] / median[way]:.2f} ×" for way in WAYS[1:])
            print(f"| {model} | {batch_size} | {times} | {ratios} |", flush=True)


if __name__ == "__main__":
    main()
