"""A command's share of its studies, with workers that do nothing."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from search.actions.run import run
from search.paths import home
from search.study.storage.claim import WorkerIdentity
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.workers import WorkerRecord, WorkerRoster
from tests.kept import keep


def test_what_holds_workers_up_is_told_while_they_wait(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home().mkdir()
    storage = LedgerStorage(f"sqlite:///{home() / 'studies.db'}")
    ledger = keep(storage, own_home, finalists=0)
    for pid, (worker, study, note) in enumerate(
        [("a", "mine", "no room"), ("b", "other", "x"), ("c", "mine", "")]
    ):
        WorkerRoster(storage).beat(
            replace(WorkerIdentity.me(), pid=pid), WorkerRecord(worker, "CPU", study, note=note)
        )
    monkeypatch.setattr("search.paths.shutil.disk_usage", lambda _: SimpleNamespace(free=7 * 2**20))
    workers = Mock(check=Mock(side_effect=[True, False]), trouble=lambda: None)
    told: list[str] = []
    run([ledger], workers, show=lambda _: None, warn=told.append, tick_s=0.0)
    assert told[0].startswith(f"{own_home} has only 7 MB free")
    assert told[1:] == ["a: no room"]
    storage.engine.dispose()
