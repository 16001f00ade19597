"""Which trainings a setting is judged by: the same setting again, on fresh seeds. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from search.errors import InputError
from search.records import TrialRecord
from search.study.spec import Replicate

FINAL = ".final"
"""What the name of a study's replicates ends with."""
_FRESH = 0x5EED
"""Keeps seeds of replicates apart from those of trials, of (study seed, number)."""

Split = Literal["test", "validation", "train"]


def watches(setting: Mapping[str, Any]) -> bool:
    """Whether training watches validation images: to lower its rate, or to stop early."""
    return setting.get("schedule") == "plateau" or bool(setting.get("early_stopping"))


def fresh_seed(seed: int, source: int | None, k: int) -> int:
    """A 31-bit seed for replicate `k` of trial `source`, unlike any trial's; `seed` ≥ 0."""
    entropy = [seed, _FRESH, 0 if source is None else source + 1, k]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0] >> 1)


def of_setting(
    setting: Mapping[str, Any], *, epochs: int, n: int, seed: int, evaluate: Split
) -> tuple[Replicate, ...]:
    """`n` replicates of a setting that no trial had. Raises InputError if it needs images to watch
    and has none.

    To be scored on the test or the training set they train on all images but the test set; to be
    scored on the validation images they leave those out, and may watch them.
    """
    if watches(setting) and evaluate != "validation":
        raise InputError(
            "a setting that watches validation images must be tried before it is replicated on all"
            " images"
        )
    train_on: Literal["train", "all"] = "train" if evaluate == "validation" else "all"
    return tuple(
        Replicate(
            setting=dict(setting),
            seed=fresh_seed(seed, None, k),
            epochs=epochs,
            train_on=train_on,
            evaluate=evaluate,
        )
        for k in range(n)
    )


def of_trial(
    trial: TrialRecord, *, n: int, seed: int, evaluate: Split, stop_at: int | None = None
) -> tuple[Replicate, ...]:
    """`n` replicates of a trial on all images but the test set, so with nothing to watch.

    They stop at `stop_at` (its best epoch if not given) with the horizon unchanged, and replay the
    rates that validation images chose, epoch by epoch; the other schedules give theirs again.
    Raises InputError for a trial without a validated epoch.
    """
    last = stop_at or trial.best_epoch
    if last is None:
        raise InputError(
            f"trial {trial.number} has no validated epoch and can't be replicated; choose another"
        )
    return tuple(
        Replicate(
            setting=dict(trial.params),
            seed=fresh_seed(seed, trial.number, k),
            source=trial.number,
            epochs=trial.total_epochs or last,
            stop_at=last,
            rates=(
                tuple(e.values["lr"] for e in trial.curve[:last])
                if trial.params.get("schedule") == "plateau"
                else None
            ),
            train_on="all",
            evaluate=evaluate,
        )
        for k in range(n)
    )


def of_baseline(
    trial: TrialRecord, *, epochs: int, n: int, seed: int, validated: TrialRecord | None
) -> tuple[Replicate, ...]:
    """`n` replicates of a baseline as its document trains it: for its own `epochs`, with its
    schedule over these.

    One that watches validation images replays what `validated` did, a training of it that had them:
    its rates, and where it stopped. While there is none, a single replicate is such a training,
    scored on the validation images.
    """
    if not watches(trial.params):
        return of_trial(
            replace(trial, total_epochs=epochs), n=n, seed=seed, evaluate="test", stop_at=epochs
        )
    if validated is None:
        [pilot] = of_setting(trial.params, epochs=epochs, n=1, seed=seed, evaluate="validation")
        return (pilot.model_copy(update={"source": trial.number}),)
    replayed = replace(trial, total_epochs=epochs, curve=validated.curve)
    return of_trial(replayed, n=n, seed=seed, evaluate="test", stop_at=validated.epochs)
