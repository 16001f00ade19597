"""Starting points of a new study from the storage: what `--warm-start` asks for."""

from collections.abc import Iterator

from search.actions.warm_settings import starting_points
from search.errors import InputError
from search.records import StudyRecord
from search.study.spec import StudySpec
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.read import find_study, read_study, search_names
from search.study.storage.trial_rows import decoding


def warmed(spec: StudySpec, stored: StudySpec | None, storage: LedgerStorage) -> StudySpec:
    """`spec` with starting points after the settings that it has; with those of `stored`, if that
    asked for the same.

    Raises InputError when there is no study of the name given, or nothing of it fits the space of
    `spec`.
    """
    how = spec.warm_start
    if how == "none":
        return spec
    if (
        stored is not None
        and stored.warm_start == how
        and stored.first[: len(spec.first)] == spec.first
    ):
        return spec.model_copy(update={"first": stored.first})
    earlier = [*_of_model(spec, storage)] if how == "auto" else [read_study(storage, how)]
    points = starting_points(earlier, spec.search_space, spec.first)
    if how != "auto" and not points:
        rule = (
            f"--warm-start: study {how!r} has no setting with a value that is valid in this space"
            " and new to it"
        )
        raise InputError(f"{rule}; leave --warm-start out, or name another study")
    return spec.model_copy(update={"first": (*spec.first, *points)})


def _of_model(spec: StudySpec, storage: LedgerStorage) -> Iterator[StudyRecord]:
    """Searches of the same model, the newest first; what can't be read helps nobody."""
    for name in reversed(search_names(storage)):
        if name == spec.name:
            continue
        try:
            attrs = find_study(storage, name)[1]
            with decoding(name):
                is_alike = attrs["spec"].get("model") == spec.model
            if is_alike:
                yield read_study(storage, name)
        except InputError:
            continue
