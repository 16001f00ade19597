"""What a study may demand of a network beside its objective: bounds on its size, speed and cost."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from search.errors import InputError
from search.records import Bound
from search.registry import nearest


@dataclass(frozen=True)
class Fact:
    """What a bound is for."""

    title: str
    is_early: bool = False
    """Whether it is known once the network is built, before it is trained."""


FACTS: Mapping[str, Fact] = {
    "n_params": Fact("parameters", is_early=True),
    "model_mb": Fact("MB of weights in float32", is_early=True),
    "latency_ms": Fact("ms per prediction of one example"),
    "train_s": Fact("s of training"),
    "epoch_s": Fact("s of an epoch"),
    "peak_host_mb": Fact("MB of memory"),
    "peak_device_mb": Fact("MB of memory on the device"),
}
"""By the names of leaderboard columns; MB are 2**20 bytes."""


def bound_of(text: str) -> Bound:
    """The bound that `text` names, such as n_params=200000.

    Raises InputError for what can't be bounded, and for a limit that is no number above 0.
    """
    name, equals, limit = (part.strip() for part in text.partition("="))
    if name not in FACTS:
        raise InputError(f"at_most: {name!r} can't be bounded; {nearest(name, FACTS)}")
    try:
        number = float(limit.replace("_", ""))
    except ValueError:
        number = math.nan
    if not equals or not math.isfinite(number) or number <= 0:
        raise InputError(f"at_most: {text!r}: give a number above 0, as in {name}=200000")
    return Bound(name, number)


def bound_text(bound: Bound) -> str:
    """What `bound_of` makes `bound` of."""
    return f"{bound.fact}={_number(bound.limit)}"


def early_bounds(bounds: Iterable[Bound]) -> dict[str, float]:
    """Those that a network can break before it is trained: their limits by name."""
    return {b.fact: b.limit for b in bounds if FACTS[b.fact].is_early}


def early_facts(n_params: int) -> dict[str, float]:
    """What is known of a network of `n_params` once it is built."""
    return {"n_params": n_params, "model_mb": n_params * 4 / 2**20}


def broken_text(limits: Mapping[str, float], facts: Mapping[str, float]) -> str:
    """Which of `limits` the `facts` break, in words; empty where none."""
    return ", ".join(
        f"{name} is {_number(facts[name])}, above {_number(limit)}"
        for name, limit in limits.items()
        if facts[name] > limit
    )


def _number(value: float) -> str:
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.4g}"
