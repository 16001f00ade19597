"""Deleting a study on every storage: nothing of it stays, nothing of others goes, and no crash
leaves half of it.
"""

import re
import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from search.artifacts import remove_tree
from search.datasets.image_data import from_arrays
from search.datasets.split import Prepared, prepare, read_split
from search.errors import InputError
from search.paths import cache
from search.study.storage.database import models
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.queue import QueueState
from search.study.storage.read import open_library, read_study, search_names, stored_studies
from search.study.storage.removal import put_back, remove, take_off
from search.study.storage.removal_plan import plan_removal
from search.study.storage.trial_rows import DamagedError
from tests.kept import ME, keep
from tests.study.helpers import begin, forget_beats
from tests.study.storage.test_read import damage, damaged

Open = Callable[[], LedgerStorage]
on_sqlite = pytest.mark.parametrize("storage_url", ["sqlite"], indirect=True)


def delete(storage: LedgerStorage, name: str = "mine") -> Any:
    removal = plan_removal(storage, name, grace_s=60)
    take_off(storage, removal, grace_s=60)
    remove(storage, removal)
    return removal


def toy(seed: int = 0) -> Prepared:
    rng = np.random.default_rng(0)
    arrays = {f"x_{p}": rng.integers(0, 255, (12, 4, 4), np.uint8) for p in ("train", "test")}
    data = from_arrays("toy", arrays | {f"y_{p}": np.arange(12) % 2 for p in ("train", "test")})
    return prepare(data, seed=seed, validation_fraction=0.2, cache=cache())


def folders_of(prepared: Prepared) -> list[Path]:
    assert prepared.test_folder is not None
    return [prepared.folder, prepared.test_folder]


def n_rows(storage: LedgerStorage) -> dict[str, int]:
    with storage.reading(), storage.session() as session:
        tables = models.BaseModel.metadata.sorted_tables
        return {
            t.name: session.execute(sa.select(sa.func.count()).select_from(t)).scalar_one()
            for t in tables
        }


def test_a_study_goes_with_its_finalists_and_every_row_and_file_of_others_stays(
    open_storage: Open, own_home: Path
) -> None:
    storage = open_storage()
    keep(storage, own_home, "other")
    before, record = n_rows(storage), read_study(storage, "other")
    keep(storage, own_home)
    removal = delete(storage)
    assert dict(removal.n_trials) == {"mine": 2, "mine.final": 2}
    assert removal.freed_mb > 0.29
    assert n_rows(storage) == before
    assert read_study(storage, "other") == record
    assert sorted(p.name for p in own_home.iterdir() if p.is_dir()) == ["other", "other.final"]
    with pytest.raises(InputError, match=r"'mine' is not in the storage.*known: other"):
        delete(storage)


@on_sqlite
def test_a_crash_between_any_two_steps_leaves_a_study_that_the_next_call_removes(
    open_storage: Open, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_storage()
    ledger = keep(storage, own_home)
    rmtree = shutil.rmtree
    n_left = 1

    def refusing(path: Any) -> None:
        nonlocal n_left
        if n_left == 0:
            raise PermissionError(13, "Permission denied", str(path))
        n_left -= 1
        rmtree(path)

    monkeypatch.setattr("search.artifacts.shutil.rmtree", refusing)
    with pytest.raises(
        InputError, match=r"mine can't be removed \(Permission denied\); .*the same command"
    ):
        delete(storage)
    assert not (own_home / "mine.final").exists()
    assert [s.name for s in stored_studies(storage, "mine")] == ["mine", "mine.final"]
    assert ledger.place().state is QueueState.CANCELLED
    n_left = 2
    delete(storage)
    assert not (own_home / "mine").exists()
    assert storage.study_names() == []


def test_no_trial_begins_once_it_is_taken_off_the_queue_unless_it_is_put_back(
    open_storage: Open, own_home: Path
) -> None:
    storage = open_storage()
    ledger = keep(storage, own_home, n_trials=3)
    removal = plan_removal(storage, "mine", grace_s=60)
    places = take_off(storage, removal, grace_s=60)
    assert (ledger.place().state, ledger.place().reason) == (
        QueueState.CANCELLED,
        "it is being deleted",
    )
    assert ledger.claim(ME) is None
    put_back(storage, places)
    assert ledger.claim(ME) is not None
    with pytest.raises(
        InputError, match=r"trials are being trained: 2 by me; first `gridless pause mine`"
    ):
        take_off(storage, removal, grace_s=60)


@on_sqlite
def test_a_worker_at_work_holds_it_up_and_a_lost_one_does_not(
    open_storage: Open, own_home: Path
) -> None:
    storage = open_storage()
    ledger = keep(storage, own_home, n_trials=3)
    begin(ledger, ME, [0.5])
    with pytest.raises(InputError, match=r"being trained: 2 by me"):
        delete(storage)
    assert (own_home / "mine" / "report.html").exists()
    assert ledger.place().state is QueueState.OPEN
    forget_beats(ledger)
    delete(storage)
    assert storage.study_names() == []


@on_sqlite
@damaged
def test_a_damaged_study_goes_all_the_same(
    open_storage: Open, own_home: Path, statement: str, told: str
) -> None:
    storage = open_storage()
    ledger = keep(storage, own_home, finalists=0)
    damage(storage, statement)
    with pytest.raises(DamagedError, match=re.escape(told)):
        read_study(storage, "mine")
    keep(storage, own_home, "other", finalists=0)
    removal = plan_removal(storage, "mine", grace_s=60)
    assert removal.n_trials == {"mine": 2}
    assert [s.uid for s in removal.studies] == [ledger.uid]
    assert delete(storage, "other").freed_mb > 0.29
    delete(storage)
    assert n_rows(storage)["trial_user_attributes"] == 0
    assert not (own_home / "mine").exists()


@on_sqlite
def test_a_worker_with_a_damaged_claim_is_at_work_while_it_beats(
    open_storage: Open, own_home: Path
) -> None:
    storage = open_storage()
    ledger = keep(storage, own_home, n_trials=3, finalists=0)
    begin(ledger, ME, [0.5])
    damage(
        storage, "UPDATE trial_system_attributes SET value_json = '{' WHERE key = 'gridless:claim'"
    )
    with pytest.raises(InputError, match="being trained: 2 by a worker"):
        delete(storage)
    forget_beats(ledger)
    delete(storage)
    assert storage.study_names() == []


@on_sqlite
@pytest.mark.parametrize(
    "fault", [ConnectionRefusedError(111, "Connection refused"), ValueError("no such bucket")]
)
def test_a_store_out_of_reach_holds_it_up(
    open_storage: Open, own_home: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    storage = open_storage()
    keep(storage, own_home)

    def connect(_url: str) -> None:
        raise fault

    monkeypatch.setattr("fsspec.url_to_fs", connect)
    monkeypatch.setenv("GRIDLESS_ARTIFACTS", "ftp://me:secret@host/box")
    with pytest.raises(InputError, match=r"ftp://me:\*\*\*@host/box.*GRIDLESS_ARTIFACTS"):
        delete(storage)
    assert storage.study_names() == ["mine", "mine.final"]
    assert (own_home / "mine" / "report.html").exists()


@on_sqlite
def test_checkpoints_and_evidence_elsewhere_go_and_what_lies_beside_them_stays(
    open_storage: Open, own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_storage()
    keep(storage, own_home)
    box = tmp_path / "box"
    for study in ("mine", "mine.final"):
        (box / study / "evidence").mkdir(parents=True)
        (box / study / "evidence" / "trial-0000.npz").write_bytes(b"e" * 50_000)
    (box / "mine" / "notes.txt").write_text("by hand")
    monkeypatch.setenv("GRIDLESS_ARTIFACTS", str(box))
    removal = delete(storage)
    assert removal.freed_mb > 0.29 + 2 * 50_000 / 2**20
    assert sorted(str(p.relative_to(box)) for p in box.rglob("*")) == ["mine", "mine/notes.txt"]


@on_sqlite
def test_prepared_data_goes_with_the_last_study_that_uses_it(
    open_storage: Open, own_home: Path
) -> None:
    storage = open_storage()
    made = [replace(toy(seed), use=None) for seed in (0, 1)]
    for name, seed in (("a", 0), ("b", 1), ("c", 1)):
        keep(storage, own_home, name, data="toy", data_digest=made[0].digest, seed=seed)
    folders = [*(p.folder for p in made), made[0].test_folder]
    left = []
    for name in ("a", "b", "c"):
        delete(storage, name)
        left.append([f is not None and f.exists() for f in folders])
    assert left == [[False, True, True], [False, True, True], [False, False, False]]


@on_sqlite
@pytest.mark.parametrize("is_stored", [False, True])
def test_prepared_data_stays_for_a_study_that_begins_meanwhile(
    open_storage: Open, own_home: Path, is_stored: bool
) -> None:
    storage, data = open_storage(), toy()
    keep(storage, own_home, data="toy", data_digest=data.digest, seed=0)
    removal = plan_removal(storage, "mine", grace_s=60)
    take_off(storage, removal, grace_s=60)
    if is_stored:
        keep(storage, own_home, "other", data="toy", data_digest=data.digest, seed=0)
        data = replace(data, use=None)
    assert set(remove(storage, removal)) == {str(folder) for folder in folders_of(data)}
    assert read_split(data.folder).x_train.shape == (10, 4, 4, 1)


@on_sqlite
def test_a_study_that_begins_while_its_data_is_removed_waits_and_prepares_it_again(
    open_storage: Open, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, data = open_storage(), replace(toy(), use=None)
    keep(storage, own_home, data="toy", data_digest=data.digest, seed=0)
    began: list[Future[Prepared]] = []
    with ThreadPoolExecutor() as threads:

        def slowly(place: str) -> None:
            began.append(threads.submit(toy))
            wait(began, timeout=0.2)
            remove_tree(place)

        monkeypatch.setattr("search.study.storage.removal.remove_tree", slowly)
        delete(storage)
    assert began
    assert all(folder.exists() for study in began for folder in folders_of(study.result()))


@on_sqlite
def test_folders_that_are_not_the_studys_own_are_left_alone(
    open_storage: Open, own_home: Path, tmp_path: Path
) -> None:
    storage = open_storage()
    keep(storage, own_home)
    (own_home / "mine" / "suite.yaml").write_text("systems: []")
    (own_home / "mine.final").rename(tmp_path / "big disk")
    (own_home / "mine.final").symlink_to(tmp_path / "big disk")
    with pytest.raises(InputError) as error:
        delete(storage)
    assert len(error.value.problems) == 2
    assert "holds a suite" in error.value.problems[0]
    assert "is a link to" in error.value.problems[1]
    assert storage.study_names() == ["mine", "mine.final"]


@on_sqlite
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("../mine", "letters, digits"),
        ("mi/ne", "letters, digits"),
        ("", "letters, digits"),
        (".workers", "letters, digits"),
        ("mine.final", "give mine"),
        ("mlflow-artifacts", "program's own"),
        ("mind", "did you mean 'mine'"),
        ("foreign", "was not made by Gridless"),
    ],
)
def test_a_name_that_is_none_of_ours(
    open_storage: Open, own_home: Path, name: str, told: str
) -> None:
    storage = open_storage()
    keep(storage, own_home)
    storage.create_study("foreign", {})
    with pytest.raises(InputError, match=told):
        delete(storage, name)
    assert search_names(storage) == ["mine"]


def test_a_storage_that_is_not_there_is_not_made(own_home: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there are no studies yet.*none\.db does not exist"):
        open_library(f"sqlite:///{tmp_path / 'none.db'}")
    assert list(tmp_path.iterdir()) == []
