"""How long a network takes to predict, on the device that trained it.

Examples come as arrays and answers go as arrays, as where a network serves: scaling, the call and
the way back are in it. The median of at least 50 predictions, after 10 that warm up.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from search.training.feed import Part
from search.training.network import Network
from search.training.train_loop import make_train_loop

WARM_UP = 10
LEAST = 50
"""Predictions that are timed, at the least; more of fast networks, for `ENOUGH_S` seconds."""
MOST = 1000
ENOUGH_S = 0.5
BATCH = 32
"""Examples of the larger of the two batches, taken again where there are fewer."""


def latencies(network: Network, part: Part) -> dict[str, float]:
    """{latency_ms: of one example, batch_latency_ms: of `BATCH` at once}, each by prediction."""
    loop = make_train_loop(
        network.whole,
        sample=(part.images[:1], part.labels[:1]),
        batch_size=BATCH,
        prepare=network.scaling.in_graph,
        augment=None,
    )
    rows = np.arange(BATCH) % len(part.images)
    examples = np.asarray(part.images[rows])
    return {
        "latency_ms": _median_ms(lambda: loop.predict(examples[:1])),
        "batch_latency_ms": _median_ms(lambda: loop.predict(examples)),
    }


def _median_ms(predict: Callable[[], Any]) -> float:
    for _ in range(WARM_UP):
        predict()
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < LEAST or (len(times) < MOST and _s_since(began) < ENOUGH_S):
        start = time.perf_counter()
        predict()
        times.append(_s_since(start))
    return float(np.median(times)) * 1000


def _s_since(start: float) -> float:
    return time.perf_counter() - start
