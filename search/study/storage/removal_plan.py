"""What belongs to a study, and what disk removing it frees."""

import json
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from search.artifacts import join, sizes_below
from search.datasets.split import find_prepared
from search.errors import InputError
from search.paths import artifacts, cache, home
from search.study.settings import FINAL
from search.study.spec import StudySpec, stored_spec_of
from search.study.storage.claim import is_lost
from search.study.storage.database import models
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.read import StoredStudy, stored_studies
from search.study.storage.trial_rows import DamagedError, decoding


@dataclass(frozen=True)
class Removal:
    """What removing a study takes away."""

    name: str
    studies: tuple[StoredStudy, ...]
    """The study and that of its finalists, as far as they are in the storage."""
    n_trials: Mapping[str, int]
    """By study."""
    places: Mapping[str, int]
    """Every folder that goes, a path or a store's URL, with its bytes, in order."""

    @property
    def freed_mb(self) -> float:
        """The disk that it frees, MB (2**20 bytes)."""
        return self.freed_without(())

    def freed_without(self, kept: Collection[str]) -> float:
        """The same, MB, if the places `kept` stay."""
        return sum(n_bytes for place, n_bytes in self.places.items() if place not in kept) / 2**20


def plan_removal(storage: LedgerStorage, name: str, *, grace_s: float) -> Removal:
    """What belongs to study `name`. Nothing is changed.

    A worker that was silent for `grace_s` seconds is taken for lost and holds nothing up. Raises
    InputError for a bad or unknown name, while workers are at work on the study, when its folder is
    not its own, and when a place that it keeps files at is out of reach. What is stored of the
    study may be damaged.
    """
    studies = _stored(storage, name)
    with storage.reading(), storage.session() as session:
        problems = busy_problems(storage, session, name, studies, grace_s)
        trial = models.TrialModel
        counted = {
            s.name: session.query(trial).filter_by(study_id=s.study_id).count() for s in studies
        }
    problems += [problem for s in studies if (problem := _folder_problem(home() / s.name))]
    if problems:
        raise InputError(problems)
    places = [
        *_kept_elsewhere(studies),
        *unshared_data(storage, studies),
        *(str(home() / s.name) for s in studies[::-1]),
    ]
    sizes = {place: _sizes(name, place) for place in places}
    n_bytes = {
        place: sum(files.values())
        for place, files in sizes.items()
        if files or Path(place).is_dir()
    }
    return Removal(name, studies, counted, n_bytes)


def _stored(storage: LedgerStorage, name: str) -> tuple[StoredStudy, ...]:
    """As `stored_studies`; of a damaged study all that can be read of it, since it must go, too."""
    try:
        return stored_studies(storage, name)
    except DamagedError:
        names = [n for n in (name, name + FINAL) if n in storage.study_names()]
        return tuple(study for n in names if (study := _legible(storage, n)))


def _legible(storage: LedgerStorage, name: str) -> StoredStudy | None:
    """Study `name` without the attributes that can't be read; None if there is no such study."""
    attrs: dict[str, Any] = {}
    with storage.reading(), storage.session() as session:
        study_id = session.scalar(sa.select(models.StudyModel.study_id).filter_by(study_name=name))
        if study_id is None:
            return None
        with suppress(DamagedError), decoding(name):
            for key, text in storage.study_attrs(session, study_id).items():
                with suppress(DamagedError), decoding(name):
                    attrs[key] = json.loads(text)
    return StoredStudy(name, study_id, str(attrs.get("uid", "")), attrs)


def _sizes(name: str, place: str) -> dict[str, int]:
    try:
        return sizes_below(place)
    except OSError as error:
        rule = f"what {name!r} keeps can't be looked at ({error})"
        raise InputError(f"{rule}; check GRIDLESS_ARTIFACTS and the network") from error


def busy_problems(
    storage: LedgerStorage,
    session: Session,
    name: str,
    studies: Sequence[StoredStudy],
    grace_s: float,
) -> list[str]:
    """Which trials of `studies` are being trained, and what to do about that."""
    problems = []
    for study in studies:
        running = [
            (trial.number, worker)
            for trial, silent_s in storage.silent_for(session, study.study_id)
            if (worker := _worker(storage, session, study, trial, silent_s, grace_s))
        ]
        if running:
            trials = ", ".join(f"{number} by {worker}" for number, worker in running)
            rule = f"study {study.name!r}: trials are being trained: {trials}"
            problems.append(
                f"{rule}; first `gridless pause {name}` or `gridless cancel {name}`, and wait a"
                " moment"
            )
    return problems


def _worker(
    storage: LedgerStorage,
    session: Session,
    study: StoredStudy,
    trial: Any,
    silent_s: float | None,
    grace_s: float,
) -> str | None:
    """Who works on a RUNNING trial, None if lost. Of a damaged claim only beats can tell."""
    with suppress(DamagedError), decoding(study.name, trial.number):
        claim = storage.claim_of(session, trial.trial_id)
        return None if is_lost(claim, silent_s, grace_s) else str(claim.get("worker", "a worker"))
    return None if silent_s is None or silent_s > grace_s else "a worker"


def _folder_problem(folder: Path) -> str | None:
    if folder.is_symlink():
        return (
            f"{folder} is a link to {folder.resolve()}; put the folder itself there, or remove the"
            " link"
        )
    if (folder / "suite.yaml").exists():
        return (
            f"{folder} holds a suite, too; move its suite.yaml and comparison.* to another folder"
            " first"
        )
    return None


def _kept_elsewhere(studies: Sequence[StoredStudy]) -> list[str]:
    """Checkpoints and evidence outside the study's folder; others may have files beside."""
    roots = [root for s in studies[::-1] if (root := artifacts(s.name)) != str(home() / s.name)]
    return [join(root, kind) for root in roots for kind in ("checkpoints", "evidence")]


def unshared_data(storage: LedgerStorage, studies: Sequence[StoredStudy]) -> list[str]:
    """Prepared data that no other study uses: test images first, as the rest finds them."""
    ours = [spec for s in studies if (spec := _spec(s.name, s.attrs))]
    names = [n for n in storage.study_names() if n not in {s.name for s in studies}]
    others = []
    for name in names:
        stored = _legible(storage, name)
        spec = _spec(name, stored.attrs) if stored else None
        if spec:
            others.append(spec)
    places: list[str] = []
    for spec in {_split_of(s): s for s in ours}.values():
        split = find_prepared(
            spec.data,
            spec.data_digest,
            seed=spec.seed,
            validation_fraction=spec.validation_fraction,
            cache=cache(),
        )
        if split is None:
            continue
        if split.test_folder and all(o.data_digest != spec.data_digest for o in others):
            places.append(str(split.test_folder))
        if all(_split_of(o) != _split_of(spec) for o in others):
            places.append(str(split.folder))
    return places


def _split_of(spec: StudySpec) -> tuple[str, str, int, float]:
    return spec.data, spec.data_digest, spec.seed, spec.validation_fraction


def _spec(name: str, attrs: Mapping[str, Any]) -> StudySpec | None:
    try:
        return stored_spec_of(name, attrs)
    except InputError:
        return None  # another program's, or of another version
