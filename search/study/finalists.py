"""Which settings of a search are judged on the test set, and by which trainings. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain, zip_longest
from typing import Any, Literal

import numpy as np
from pydantic import ValidationError

from search.errors import InputError
from search.records import Search, State, TrialRecord
from search.study.finalist_costs import Rule, choose, ranked, was_whole
from search.study.settings import FINAL
from search.study.spec import Replicate, Split, StudySpec, watches

_FRESH = 0x5EED
"""Keeps seeds of replicates apart from those of trials, of (study seed, number)."""


def final_spec(
    spec: StudySpec,
    trials: Sequence[TrialRecord],
    stored: StudySpec | None = None,
    *,
    made: Sequence[TrialRecord] = (),
    left_s: float | None = None,
) -> StudySpec | None:
    """The study `<name>.final` that trains the finalists of `spec` again, on all images but the
    test set. Without a test set, the best one is, on all images, for its network.

    Each is trained on n_replicates fresh seeds and scored on the test set once. Replicates of the
    `stored` study, of which `made` were begun, stay what they are and come first. `left_s` seconds
    of training are left, None for no limit. A baseline that watches validation images gets a
    validated training at first; once that is `made`, the same question gives the replicates that
    replay it. None when there are no finalists.
    """
    rule, kept = Rule.of(dict(spec)), stored.replicates if stored else ()
    validated = _validated(rule, trials, kept, made)
    is_begun = any(r.is_pilot or _is_whole(rule, r, validated) for r in kept)
    chosen = choose(rule, trials, left_s=left_s, keeps_baseline=is_begun)
    if not chosen.trials:
        return None
    n, seed = rule.n_replicates, spec.seed
    of_each = []
    for trial in chosen.trials:
        epochs = rule.baseline_epochs
        if trial.number == 0 and chosen.has_baseline and epochs:
            of_each.append(of_baseline(trial, epochs=epochs, n=n, seed=seed, validated=validated))
        else:
            split: Split = "test" if spec.has_test else "train"
            of_each.append(of_trial(trial, n=n, seed=seed, evaluate=split))
    # Each finalist's first seed before any one's second: cut short, all are known equally well.
    in_turn = chain.from_iterable(zip_longest(*of_each))
    candidates = sorted(filter(None, in_turn), key=lambda r: not r.is_pilot)
    replicates = (*kept, *(r for r in candidates if r not in kept))
    return spec.model_copy(
        update={
            "name": spec.name + FINAL,
            "n_trials": len(replicates),
            "strategy": "random",
            "first": spec.first[:1],
            "timeout_s": None,
            "budget": None,
            "finalists": 0,
            "stop_when_flat": False,
            "replicates": replicates,
        }
    )


def _validated(
    rule: Rule,
    trials: Sequence[TrialRecord],
    replicates: Sequence[Replicate],
    made: Sequence[TrialRecord],
) -> TrialRecord | None:
    """The training of the baseline as its document trains it that watched validation images; None
    before there is one.

    That is trial 0 itself, if the study's limit let it train so long, or else a replicate.
    """
    if whole := [t for t in trials if t.number == 0 and was_whole(rule, t)]:
        return whole[0]
    pilots = {i for i, r in enumerate(replicates) if r.is_pilot}
    return next((t for t in made if t.number in pilots and t.state == State.COMPLETE), None)


def _is_whole(rule: Rule, replicate: Replicate, validated: TrialRecord | None) -> bool:
    """Whether `replicate` trains the baseline as its document trains it."""
    last = validated.epochs if validated and watches(replicate.setting) else rule.baseline_epochs
    is_scored = replicate.source == 0 and replicate.evaluate == "test"
    return is_scored and replicate.epochs == rule.baseline_epochs and replicate.last_epoch == last


def replicates_of(search: Search) -> list[Replicate]:
    """What the trials of the finalists' study repeat, by their numbers; empty where there is none.

    Raises InputError when another version made it.
    """
    if search.finalists is None:
        return []
    stored = search.finalists.spec.get("replicates") or ()
    try:
        return [Replicate.model_validate(raw) for raw in stored]
    except ValidationError as error:
        name = search.study.name
        rule = f"the replicates of study {name!r} were not made by this version of Gridless"
        raise InputError(f"{rule}; choose another NAME") from error


def whole_baseline(search: Search) -> set[int]:
    """The replicates, by number, that train the baseline as its document trains it."""
    rule = Rule.of(search.study.spec)
    replicates = replicates_of(search)
    trainings = search.finalists.trials if search.finalists else ()
    validated = _validated(rule, search.study.trials, replicates, trainings)
    return {i for i, r in enumerate(replicates) if _is_whole(rule, r, validated)}


def sources(search: Search) -> Mapping[int, int]:
    """The trial that each replicate repeats, by the replicate's own number.

    Left out are validated trainings, replicates of what a trial was before it was trained further,
    and those of a baseline that was cut short where there are others that were not.
    """
    whole = whole_baseline(search)
    best = {t.number: t.best_epoch for t in search.study.trials}
    repeated: dict[int, int] = {}
    for i, replicate in enumerate(replicates_of(search)):
        source = replicate.source
        if source is None or replicate.is_pilot:
            continue
        is_current = i in whole if whole and source == 0 else best.get(source) == replicate.stop_at
        if is_current:
            repeated[i] = source
    return repeated


def keeps_model(replicates: Sequence[Replicate], number: int) -> bool:
    """Whether replicate `number` is the first of its finalist, whose network is kept."""
    first = replicates[number]
    if first.source is None or first.is_pilot:
        return False
    alike = (first.source, first.epochs, first.stop_at)
    return all(r.is_pilot or (r.source, r.epochs, r.stop_at) != alike for r in replicates[:number])


def replicate_file(number: int) -> str:
    """The name among the finalists' evidence of the network that replicate `number` kept."""
    return f"model-{number:04d}.keras"


def champion(search: Search) -> int | None:
    """The replicate whose network is the result: the first one of validation's best setting.

    The test set has no say in it. None while that setting has no replicate.
    """
    best = ranked(search.study.trials)[:1]
    if not best:
        return None
    return next((i for i, trial in sources(search).items() if trial == best[0].number), None)


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
    rates = None
    if trial.params.get("schedule") == "plateau":
        rates = tuple(epoch.values["lr"] for epoch in trial.curve[:last])
    return tuple(
        Replicate(
            setting=dict(trial.params),
            seed=fresh_seed(seed, trial.number, k),
            source=trial.number,
            epochs=trial.total_epochs or last,
            stop_at=last,
            rates=rates,
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
