"""From checked input to a study that workers can serve: its space probed, its spec resolved."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from search.actions.check_bounds import check_bounds
from search.actions.check_study import Checked, study_file
from search.actions.space_source import (
    DEFAULT_EPOCHS,
    differs_in_conditions,
    typed_pairs,
)
from search.actions.warm_start import warmed
from search.artifacts import join
from search.bounds import early_bounds
from search.datasets import data_source
from search.datasets.samples import write_samples
from search.datasets.split import Prepared
from search.errors import InputError
from search.files import unwritable, whole_file
from search.paths import artifacts, home
from search.space.space import Space
from search.space.training_params import hint
from search.study.environment import environment
from search.study.resume import changed_code, check_goes_on
from search.study.settings import (
    DEFAULT_STRATEGY,
    FINAL,
    N_REPLICATES,
)
from search.study.spec import StudySpec
from search.study.storage.ledger import Ledger, stored_spec
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.queue import QueueState, places
from search.study.storage.read import read_study
from search.training.probe import probe
from search.user_code import user_code
from search.worker.engines.devices import Crew


@dataclass(frozen=True)
class Plan:
    """What will be done."""

    spec: StudySpec
    data: Prepared
    crew: Crew
    notices: tuple[str, ...]
    resumes: bool
    other_code: bool = False
    """Whether the code of its model may be other than the study's."""
    trackers: tuple[str, ...] | None = None
    """Where it is mirrored; None for where it was, at first to MLflow."""

    @property
    def folder(self) -> Path:
        """Where the study writes."""
        return home() / self.spec.name


def make_plan(checked: Checked, say: Callable[[str], None]) -> Plan:
    """Drop what can't be built on the data at hand, and resolve the spec.

    Raises InputError if nothing is left, or if an older study of this name can't go on with it.
    """
    usable, notices = checked.space, list(checked.notices)
    if not checked.request.loop:
        say("building the model with each of its choices …")
        usable, notices = _usable_space(checked)
    stored = stored_spec(checked.storage, checked.name)
    goes_on_in = stored.search_space if stored and checked.notices else None
    if goes_on_in and differs_in_conditions(goes_on_in, usable):
        notices.append("the study goes on with the conditions that its space began with")
        usable = goes_on_in
    resolved = _resolve(checked, usable, stored)
    if stored is not None:
        resolved = _as_begun(resolved, stored, checked)
    spec = warmed(resolved, stored, checked.storage)
    if n_points := len(spec.first) - len(resolved.first):
        notices.append(
            f"{n_points} starting points from earlier studies come after the document's setting"
        )
    other_code = checked.request.other_code
    if stored is not None and (changes := changed_code(stored, spec)):
        other_code |= not any(t.curve for t in read_study(checked.storage, stored.name).trials)
        notices.append(
            f"the code of model {spec.model} has changed since the study began ({changes})"
        )
    if stored is None:
        check_bounds(usable, early_bounds(spec.bounds), checked.data)
    else:
        check_goes_on(stored, spec, other_code=other_code)
    return Plan(
        spec,
        checked.data,
        checked.crew,
        tuple(notices),
        resumes=stored is not None,
        other_code=other_code,
        trackers=checked.settings.tracker,
    )


def is_over(checked: Checked) -> bool:
    """Whether the study was searched to its end, with its finalists, as far as its queue says."""
    stored = places(checked.storage)
    parts = [stored[n] for n in (checked.name, checked.name + FINAL) if n in stored]
    return checked.name in stored and all(
        place.state is QueueState.DONE and not place.reason for place in parts
    )


def changes_nothing(plan: Plan, ledger: Ledger, trackers: tuple[str, ...]) -> bool:
    """Whether `plan` is the study of `ledger`, which is brought to `trackers`, as it is stored, and
    asks for no more trials than that has.
    """
    stored = ledger.spec
    if stored.n_trials < plan.spec.n_trials or not study_file(ledger.name).exists():
        return False
    free = dict.fromkeys(("workers", "threads", "n_trials"))
    is_same = stored.model_copy(update=free) == plan.spec.model_copy(update=free)
    return is_same and plan.trackers in {None, trackers}


def _usable_space(checked: Checked) -> tuple[Space, list[str]]:
    """What of the space can be built on the data, and what to tell of it and of the rest."""
    report = probe(
        checked.space,
        input_shape=checked.data.input_shape,
        n_classes=checked.data.n_classes,
        task=checked.data.task,
        targets=checked.targets,
        objectives=checked.objective,
        parts=_measured_parts(checked),
        class_names=checked.data.class_names,
        corners=False,
        weights=True,
    )
    usable, dropped = report.usable(checked.space)
    notices = [*checked.notices, *dropped]
    if not checked.data.has_test:
        rule = "the data have no test set: no test accuracy and no gain over the baseline are told"
        notices.append(rule)
    # What was found by building has been read; one more build may go another way.
    unread = () if checked.notices else report.unread
    notices += [
        f"parameter {name} is never read by model {usable.model}{hint(name)}" for name in unread
    ]
    if pinned := typed_pairs(checked.space, checked.request.fixes).get("epochs"):
        notices.append(
            f"--fix epochs={pinned} is the baseline's epochs, too, whatever its document says"
        )
    return usable, notices


def _measured_parts(checked: Checked) -> dict[str, Path]:
    """The files of the targets by which trials and finalists are measured."""
    data = checked.data
    parts = {"validation": data.folder / "y_val.npy"}
    if data.has_test and data.test_folder is not None and checked.settings.finalists != 0:
        parts["test"] = data.test_folder / "y_test.npy"
    return parts


def _as_begun(resolved: StudySpec, stored: StudySpec, checked: Checked) -> StudySpec:
    """`resolved` with what a study that goes on keeps, unless this command names it."""
    kept: dict[str, Any] = {}
    if resolved.strategy == DEFAULT_STRATEGY and checked.request.flags.get("strategy") is None:
        kept["strategy"] = stored.strategy  # whatever has become the default since
    if not checked.settings.objective:
        kept["objective"] = stored.objective
    if not checked.settings.at_most:
        kept["at_most"] = stored.at_most
    if resolved.data_digest == stored.data_digest:
        kept["data"] = stored.data  # the same images by another name
    return resolved.model_copy(update=kept)


def open_study(plan: Plan, storage: LedgerStorage, *, priority: int | None = None) -> Ledger:
    """Make or resume the study of `plan`, put it on the queue and write its study.yaml.

    `priority` on the queue stays what it was when it is None. Raises InputError if it can't.
    """
    here = environment(plan.crew.devices[0].name, threads=plan.crew.threads, code=plan.spec.code)
    ledger = Ledger.open(
        storage,
        plan.spec,
        here,
        priority=priority,
        trackers=plan.trackers,
        other_code=plan.other_code,
    )
    try:
        write_samples(plan.data, join(artifacts(plan.spec.name), "evidence", "samples.npz"))
        with whole_file(study_file(plan.spec.name)) as file:
            YAML(typ="safe", pure=True).dump(plan.spec.model_dump(mode="json"), file)
    except OSError as error:
        raise InputError(unwritable(plan.folder, error)) from error
    return ledger


def _resolve(checked: Checked, space: Space, stored: StudySpec | None) -> StudySpec:
    request, settings, data = checked.request, checked.settings, checked.data
    epochs = settings.epochs or space.max_epochs or (DEFAULT_EPOCHS if checked.notices else None)
    if epochs is None:
        raise InputError("epochs: the space has none; give EPOCHS, the most that a trial may train")
    first = [space.document, *(space.complete(typed_pairs(space, [t])) for t in request.tries)]
    finalists, n_replicates = settings.finalists, settings.n_replicates
    if not data.has_test and finalists != 0:
        finalists, n_replicates = 1, 1
    if (
        stored is not None
    ):  # a study goes on as it began; one that had no finalists may have some now
        finalists = (stored.finalists or None) if finalists is None else finalists
        n_replicates = n_replicates or stored.n_replicates
    return StudySpec(
        name=checked.name,
        model=request.model,
        loop=request.loop,
        data=data.name,
        data_source=data_source(request.data),
        task=data.task,
        has_test=data.has_test,
        epochs=epochs,
        workers=len(checked.crew.devices),
        threads=checked.crew.threads,
        data_digest=data.digest,
        space_digest=space.digest,
        first=tuple(dict(s) for s in first),
        space=space.as_dict(),
        finalists=finalists,
        n_replicates=n_replicates or N_REPLICATES,
        code=user_code(request.model),
        **settings.lasting,
    )
