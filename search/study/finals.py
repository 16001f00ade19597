"""Which settings of a search are judged on the test set, and the study that trains them again. Pure."""

from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from search.errors import InputError
from search.study.records import StudyRecord, TrialRecord, has_rank
from search.study.replicates import FINAL, of_trial
from search.study.spec import Replicate, StudySpec


def choose(trials: Sequence[TrialRecord], k: int) -> tuple[TrialRecord, ...]:
    """The `k` best of `trials` by validation, then trial 0 if it is not among them: the finalists of a search.

    Trial 0 is the document's setting, which is trained again too, so that what the search gained over it can be
    measured. Empty when `k` is 0 or no trial has a value.
    """
    ranked = sorted((t for t in trials if has_rank(t)), key=lambda t: (-(t.val_accuracy or 0.0), t.number))
    if not k:
        return ()
    return (*ranked[:k], *(t for t in ranked[k:] if t.number == 0))


def final_spec(spec: StudySpec, trials: Sequence[TrialRecord], stored: StudySpec | None = None) -> StudySpec | None:
    """The study `<name>.final` that trains the finalists of `spec` again, on all images but the test set.

    Each is trained on n_replicates fresh seeds and scored on the test set once. Replicates of the `stored` study stay
    what they are and come first. None when there are no finalists.
    """
    chosen = choose(trials, spec.finalists)
    if not chosen:
        return None
    of_each = [of_trial(t, n=spec.n_replicates, seed=spec.seed, evaluate="test") for t in chosen]
    # The first seed of every finalist comes before the second of any: cut short, all are known equally well.
    wanted = [replicate for k in zip(*of_each, strict=True) for replicate in k]
    kept = stored.replicates if stored else ()
    replicates = (*kept, *(r for r in wanted if r not in kept))
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


def replicates_of(final: StudyRecord | None) -> list[Replicate]:
    """What the trials of a study of replicates repeat, by their numbers; empty where there is none.

    Raises InputError when another version made it.
    """
    try:
        return [Replicate.model_validate(raw) for raw in final.spec.get("replicates") or ()] if final else []
    except ValidationError as error:
        name = final.name.removesuffix(FINAL) if final else ""
        rule = f"the replicates of study {name!r} were not made by this version of Gridless"
        raise InputError(f"{rule}; choose another NAME") from error


def sources(replicates: Sequence[Replicate], trials: Sequence[TrialRecord]) -> Mapping[int, int]:
    """The trial that each replicate repeats, by the replicate's own number.

    Replicates of what a trial was before it was trained further are left out.
    """
    best = {t.number: t.best_epoch for t in trials}
    return {i: r.source for i, r in enumerate(replicates) if r.source is not None and best.get(r.source) == r.stop_at}


def keeps_model(replicates: Sequence[Replicate], number: int) -> bool:
    """Whether replicate `number` is the first of its finalist: its network is kept as the finalist's."""
    own = replicates[number].source
    return own is not None and all(r.source != own for r in replicates[:number])


def model_file(number: int) -> str:
    """The name, among the evidence of the finalists' study, of the network that replicate `number` kept."""
    return f"model-{number:04d}.keras"


def champion(replicates: Sequence[Replicate], trials: Sequence[TrialRecord]) -> int | None:
    """The replicate whose network is the search's result: the first one of the setting that validation ranks first.

    The test set has no say in it. None while that setting has no replicate.
    """
    best = choose(trials, 1)[:1]
    return next((i for i, number in sources(replicates, trials).items() if best and number == best[0].number), None)
