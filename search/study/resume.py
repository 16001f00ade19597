"""Whether a command may go on with a study that is stored, and what keeps it from that. Pure."""

from search.errors import InputError
from search.pickled import same_name
from search.registry import pickled_digest
from search.study.spec import StudySpec
from search.user_code import code_difference

_FIXED = (
    "model",
    "data",
    "task",
    "objective",
    "at_most",
    "epochs",
    "seed",
    "strategy",
    "validation_fraction",
    "data_digest",
    "precision",
    "deterministic",
)
"""What a resumed study must not change; n_trials may only grow, and everything else is free."""
_COMMAND = "gridless study … --allow-changed-code"


def check_goes_on(stored: StudySpec, spec: StudySpec, *, other_code: bool = False) -> None:
    """Raise InputError with every difference when `spec` can't go on with the study that `stored`
    describes.

    With `other_code`, the code of the model may have changed.
    """
    rule, remedy = (
        f"study {stored.name!r} can't go on with other",
        "give another NAME (--name), or undo the change",
    )
    problems = [
        f"{rule} settings: {line}; {remedy}; the study is untouched"
        for line in differences(stored, spec)
    ]
    if not other_code and (changes := changed_code(stored, spec)):
        way = "search.optimize(…, allow_changes=True)" if pickled_digest(spec.model) else _COMMAND
        allow = f"`{way}` goes on, and says which trials ran with what"
        problems.append(f"{rule} code of its model ({changes}); {remedy}; {allow}")
    if problems:
        raise InputError(problems)


def changed_code(stored: StudySpec, spec: StudySpec) -> str:
    """Which files of the model's code differ, in words; empty if none, or if not recorded."""
    return (
        "" if stored.code is None or spec.code is None else code_difference(stored.code, spec.code)
    )


def differences(stored: StudySpec, spec: StudySpec) -> list[str]:
    """Why `spec` can't go on with the study of `stored`, one line each; empty if it can."""
    lines = []
    for key in _FIXED:
        old, new = getattr(stored, key), getattr(spec, key)
        if old != new and not (key == "model" and same_name(old, new)):
            lines.append(f"{key}: the study has {_shown(old)}, this command asks for {_shown(new)}")
    if stored.space_digest != spec.space_digest:
        lines += [f"space: {line}" for line in stored.search_space.difference(spec.search_space)]
    if stored.first != spec.first:
        lines.append(
            f"first settings: the study has {list(stored.first)}, this command asks for"
            f" {list(spec.first)}"
        )
    if lost := _replicates_lost(stored, spec):
        lines.append(lost)
    elif spec.n_trials < stored.n_trials:
        lines.append(
            f"n_trials: the study has {stored.n_trials}; it may grow but not shrink to"
            f" {spec.n_trials}"
        )
    return lines


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, tuple) else repr(value)


def _replicates_lost(stored: StudySpec, spec: StudySpec) -> str | None:
    n = len(spec.replicates)
    if n < len(stored.replicates) and spec.replicates == stored.replicates[:n]:
        return f"seeds: the study has {len(stored.replicates)}; they may grow but not shrink to {n}"
    if stored.replicates != spec.replicates[: len(stored.replicates)]:
        return "replicates: their settings, epochs or images are not those of the study"
    return None
