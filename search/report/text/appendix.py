"""Study → the small tables that close the page: failures, the space, the settings. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from search.analysis.ranking import param_names, space_params, started_trials
from search.records import State, StudyRecord, TrialRecord
from search.words import listing, show

_N_NAMED = 8


def failures(study: StudyRecord) -> list[tuple[str, list[TrialRecord]]]:
    """Failed trials by reason, the most frequent reason first."""
    groups: dict[str, list[TrialRecord]] = {}
    for t in started_trials(study):
        if t.state == State.FAIL:
            groups.setdefault(t.reason or "no reason recorded", []).append(t)
    return sorted(groups.items(), key=lambda item: -len(item[1]))


def space_table(study: StudyRecord) -> list[dict[str, str]]:
    """The space as rows of text: name, type, range, condition, trial 0's value."""
    first = study.spec.get("first")
    overrides = first[0] if isinstance(first, list | tuple) and first else {}
    declared = space_params(study)
    return [
        {
            "name": name,
            "type": str(declared.get(name, {}).get("type", "not in the space")),
            "range": _range(declared.get(name, {})),
            "when": _condition(declared.get(name, {}).get("when")),
            "document": show(overrides[name]) if name in overrides else "–",
        }
        for name in param_names(study)
    ]


def spec_table(study: StudyRecord) -> list[tuple[str, str]]:
    """Budget, seed, digests and the rest of the spec as (name, value), without the space."""
    left_out = {"space", "first", "name", "replicates"}
    settings = {name: value for name, value in study.spec.items() if name not in left_out}
    if settings.get("finalists", 0) is None:
        settings["finalists"] = "as many as the search's own time pays for"
    return list(_flat(settings))


def environments(study: StudyRecord) -> list[tuple[str, list[tuple[str, str]]]]:
    """What the study ran on, as titled tables: as made, then where workers differed.

    Of those only what differs, with the trials that it holds for.
    """
    tables = [("Environment", [(name, str(value)) for name, value in study.environment.items()])]
    for key, environment in study.environments.items():
        trials = [str(t.number) for t in study.trials if key in t.environments]
        differs = [
            (n, str(environment.get(n, "–")))
            for n in {**study.environment, **environment}
            if environment.get(n) != study.environment.get(n)
        ]
        if trials and differs:
            shown = listing(
                [
                    *trials[:_N_NAMED],
                    *([f"{len(trials) - _N_NAMED:,} more"] if len(trials) > _N_NAMED else []),
                ]
            )
            tables.append(
                (
                    f"Other environment of {'trial' if len(trials) == 1 else 'trials'} {shown}",
                    differs,
                )
            )
    return [(title, rows) for title, rows in tables if rows]


def _range(declared: Mapping[str, Any]) -> str:
    if "choices" in declared:
        return ", ".join(show(c) for c in declared["choices"])
    if "value" in declared:
        return show(declared["value"])
    if "low" not in declared or "high" not in declared:
        return "–"
    text = f"{show(declared['low'])} to {show(declared['high'])}"
    text += ", log scale" if declared.get("log") else ""
    return text + (f", in steps of {show(declared['step'])}" if declared.get("step") else "")


def _condition(when: Any) -> str:
    if not isinstance(when, Mapping):
        return "always"
    return listing(
        [
            f"{k} = {' or '.join(show(v) for v in (vs if isinstance(vs, list | tuple) else [vs]))}"
            for k, vs in when.items()
        ]
    )


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", "none" if value is None else show(value)
