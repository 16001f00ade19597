"""How far the forecast of what a search may still gain can be trusted: `python
benchmarks/forecast.py model.onnx`.

Whole searches by this project's own strategies run on a virtual clock over surrogates of LCBench
(YAHPO Gym's file lcbench/model.onnx beside its encoding.json; needs `pip install onnxruntime`),
whose smooth curves get half the standard error of --images validation images as noise of each trial
and as much of each epoch. The first table cuts every search at several points and compares
forecasts made there with what came; the second stops every search where it is first called flat and
compares that with its end.
"""

import argparse
import heapq
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optuna

from search.analysis.forecast import forecast
from search.records import Epoch, TrialRecord
from search.space.space import Space
from search.strategies import Decision, derive_seed, make_strategy

TASKS = ("7593", "34539", "126025", "126029", "167104", "167149", "168329", "168908")
N_EPOCHS = 52
CUTS = (0.08, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Parts of a search's time after which forecasts are made."""
HORIZONS = (None, 0.05, 0.25, 1.0, 4.0)
"""How far ahead, in parts of the time so far; None for an hour."""
ORDER = ("batch_size", "lr", "momentum", "weight_decay", "n_layers", "max_units", "max_dropout")
SPACE = Space.from_dict(
    {
        "model": "lcbench",
        "document": dict(zip(ORDER, (91, 0.0032, 0.545, 0.05, 3, 256, 0.5), strict=True)),
        "params": {
            "batch_size": {"type": "int", "low": 16, "high": 512, "log": True},
            "lr": {"type": "float", "low": 1e-4, "high": 0.1, "log": True},
            "momentum": {"type": "float", "low": 0.1, "high": 0.99},
            "weight_decay": {"type": "float", "low": 1e-5, "high": 0.1},
            "n_layers": {"type": "int", "low": 1, "high": 5},
            "max_units": {"type": "int", "low": 64, "high": 1024, "log": True},
            "max_dropout": {"type": "float", "low": 0.0, "high": 1.0},
        },
    }
)
Curve = Callable[[dict[str, Any]], tuple[np.ndarray, np.ndarray]]


def surrogate(path: Path, task: str) -> Curve:
    """From params to (seconds of each epoch, validation accuracy after it), without noise."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options)
    code = json.loads((path.parent / "encoding.json").read_text())["OpenML_task_id"][task]

    def curve(params: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        x = np.array(
            [[epoch, *(params[n] for n in ORDER)] for epoch in range(1, N_EPOCHS + 1)], np.float32
        )
        inputs = {"x_cat": np.full((N_EPOCHS, 1), code, np.int32), "x_cont": x}
        outputs = session.run(None, inputs)[0]
        ends = np.maximum.accumulate(np.maximum(outputs[:, 0], 0.01))
        return np.diff(ends, prepend=0.0), np.clip(outputs[:, 1] / 100, 0, 1)

    return curve


class Clock:
    """A whole search on a virtual clock: from rung to rung, the earliest end first."""

    def __init__(self, curve: Curve, strategy: str, *, seed: int, images: int) -> None:
        self._curve, self._seed, self._images = curve, seed, images
        self._strategy = make_strategy(strategy, SPACE, seed=seed, max_epochs=N_EPOCHS)
        self._whole: dict[int, tuple[Epoch, ...]] = {}
        self.trials: list[TrialRecord] = []

    def run(self, *, n_trials: int, workers: int) -> list[TrialRecord]:
        """The trials when nothing is left, each epoch with the virtual second of its end."""
        idle, busy, now = list(range(workers)), [], 0.0
        while True:
            while idle and (number := self._next(n_trials)) is not None:
                heapq.heappush(busy, (self._train(number, now), idle.pop(), number))
            if not busy:
                return self.trials
            now, worker, number = heapq.heappop(busy)
            trial = self.trials[number]
            is_done = trial.epochs == N_EPOCHS
            if (
                is_done
                or self._strategy.decide(self.trials, number, trial.epochs) is Decision.PAUSE
            ):
                self.trials[number] = replace(
                    trial, state="COMPLETE" if is_done else "WAITING", paused=not is_done
                )
                idle.append(worker)
            else:
                heapq.heappush(busy, (self._train(number, now), worker, number))

    def _next(self, n_trials: int) -> int | None:
        number = self._strategy.promote(self.trials)
        if number is None and len(self.trials) < n_trials:
            number = len(self.trials)
            params = self._strategy.ask(self.trials, number) if number else dict(SPACE.document)
            self.trials.append(TrialRecord(number, "RUNNING", params, total_epochs=N_EPOCHS))
            self._whole[number] = self._noisy(
                *self._curve(params), seed=derive_seed(self._seed, number)
            )
        return number

    def _train(self, number: int, now: float) -> float:
        """Train to the next rung; when that is done. Others see its epochs at once: no harm."""
        trial = self.trials[number]
        curve = list(trial.curve)
        while len(curve) < N_EPOCHS:
            now += self._whole[number][len(curve)].seconds
            curve.append(replace(self._whole[number][len(curve)], at=now))
            if self._strategy.is_rung(len(curve)):
                break
        self.trials[number] = replace(trial, state="RUNNING", paused=False, curve=tuple(curve))
        return now

    def _noisy(self, seconds: np.ndarray, accuracy: np.ndarray, *, seed: int) -> tuple[Epoch, ...]:
        rng = np.random.default_rng(seed)
        half = 0.5 * np.sqrt(accuracy * (1 - accuracy) / self._images)
        noisy = accuracy + half * (rng.normal() + rng.normal(size=N_EPOCHS))
        seen = np.clip(np.round(noisy * self._images) / self._images, 0, 1)
        return tuple(
            Epoch(i, {"val_accuracy": float(v)}, float(s), 0.0)
            for i, (v, s) in enumerate(zip(seen, seconds, strict=True), start=1)
        )


class Case(NamedTuple):
    """A forecast and what came of it, in points; the noise floor beside them."""

    expected: float
    low: float
    high: float
    came: float
    noise: float


def past_of(trials: Sequence[TrialRecord], now: float) -> list[TrialRecord]:
    """What storage would have held at the virtual second `now`."""
    cut = [replace(t, curve=tuple(e for e in t.curve if e.at <= now)) for t in trials]
    return [
        t if t.epochs == N_EPOCHS else replace(t, state="RUNNING", paused=False)
        for t in cut
        if t.curve
    ]


def best(trials: Sequence[TrialRecord]) -> float:
    return max(t.val_accuracy or 0.0 for t in trials)


def cases(
    trials: Sequence[TrialRecord], part: float | None, *, workers: int, images: int
) -> Iterator[Case]:
    """Forecasts at CUTS of a search, `part` of the time so far ahead, an hour for None."""
    end = max(t.curve[-1].at for t in trials)
    for cut in CUTS:
        now = cut * end
        ahead = now * part if part else 3600.0
        past = past_of(trials, now)
        predicted = forecast(past, n_validation=images, n_workers=workers, horizon_s=ahead)
        if now + ahead <= end and predicted.gain and predicted.noise:
            came = best(past_of(trials, now + ahead)) - best(past)
            yield Case(*(100 * v for v in (*predicted.gain[1:4], came, predicted.noise)))


def stop(
    trials: Sequence[TrialRecord], *, workers: int, images: int
) -> tuple[float, float, float] | None:
    """Where a search is first called flat: time saved, points forgone, noise floor."""
    end = max(t.curve[-1].at for t in trials)
    for cut in np.arange(0.04, 1, 0.02):
        past = past_of(trials, cut * end)
        predicted = forecast(past, n_validation=images, n_workers=workers)
        if predicted.is_flat:
            return 1 - cut, 100 * (best(trials) - best(past)), 100 * (predicted.noise or math.nan)
    return None


def judged(
    strategy: str, searches: Sequence[Sequence[TrialRecord]], *, workers: int, images: int
) -> Iterator[str]:
    for part in HORIZONS:
        n = [c for s in searches for c in cases(s, part, workers=workers, images=images)]
        flat = [c for c in n if c.high < c.noise]
        expected, came = np.mean([c.expected for c in n]), np.mean([c.came for c in n])
        above, below = (
            100 * np.mean(v) for v in ([c.came > c.high for c in n], [c.came < c.low for c in n])
        )
        wrong = sum(c.came > c.noise for c in flat)
        ahead = f"{part:g} × the time so far" if part else "an hour"
        yield (
            f"| {strategy} | {ahead} | {len(n)} | {expected:.2f} | {came:.2f} | {above:.0f} % |"
            f" {below:.0f} % | {len(flat)} | {wrong} |"
        )


def stopped(
    strategy: str, searches: Sequence[Sequence[TrialRecord]], *, workers: int, images: int
) -> str:
    ends = [e for s in searches if (e := stop(s, workers=workers, images=images))]
    saved, forgone, noise = np.array(ends).T if ends else np.zeros((3, 1))
    return (
        f"| {strategy} | {len(ends)} of {len(searches)} | {100 * saved.mean():.0f} % |"
        f" {forgone.mean():.2f} | {forgone.max():.2f} | {sum(forgone > noise)} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("surrogate", type=Path, metavar="model.onnx")
    parser.add_argument("--tasks", nargs="*", default=TASKS, help="OpenML task ids")
    parser.add_argument("--strategies", nargs="*", default=["halving", "tpe", "random"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=150)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--images", type=int, default=10_000)
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rules = {"workers": args.workers, "images": args.images}
    curves = [surrogate(args.surrogate, task) for task in args.tasks]
    ends = []
    print(
        "| strategy | ahead | forecasts | expected gain | gain | above | below | called flat |"
        " gained more than noise |"
    )
    print("|---" * 9 + "|")
    for strategy in args.strategies:
        searches = [
            Clock(curve, strategy, seed=seed, images=args.images).run(
                n_trials=args.trials, workers=args.workers
            )
            for curve in curves
            for seed in range(args.seeds)
        ]
        print("\n".join(judged(strategy, searches, **rules)), flush=True)
        ends.append(stopped(strategy, searches, **rules))
    print(
        "\n| strategy | stopped | time saved | points forgone | at most | more than noise |"
        + "\n"
        + "|---" * 6
        + "|"
    )
    print("\n".join(ends))


if __name__ == "__main__":
    main()
