"""Who is there: what `gridless status` knows of workers."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from search.study.storage import workers as module
from search.study.storage.claim import WorkerIdentity
from search.study.storage.optuna_storage import LedgerStorage, database_time
from search.study.storage.queue import open_studies
from search.study.storage.workers import WorkerRecord, WorkerRoster

ME = WorkerIdentity.me("a/1")
OTHER = replace(ME, worker="b/2", host="b", pid=2)


def test_workers_sign_in_tell_what_they_do_and_sign_out(
    open_storage: Callable[[], LedgerStorage], monkeypatch
) -> None:
    rosters = [WorkerRoster(open_storage()), WorkerRoster(open_storage())]
    reader = WorkerRoster(open_storage())
    assert reader.read() == []
    rosters[1].beat(OTHER, WorkerRecord("b/2", "GPU 0"))
    storage = open_storage()
    with storage.session() as session:  # as a worker of a later version would tell it
        told = storage.study_attrs(session, study_id := storage.get_study_id_from_name(".workers"))
        storage.put_study(
            session, study_id, {k: json.loads(v) | {"mood": "good"} for k, v in told.items()}
        )
    rosters[0].beat(ME, WorkerRecord("a/1", "CPU"))
    rosters[0].beat(ME, WorkerRecord("a/1", "CPU", "s", 4))
    a, b = reader.read()
    assert (a.worker, a.device, a.study, a.trial) == ("a/1", "CPU", "s", 4)
    assert (b.worker, b.device, b.study, b.trial) == ("b/2", "GPU 0", None, None)
    assert all(0 <= w.silent_s < 30 for w in (a, b))

    def ahead(session: object) -> object:
        return database_time(session) + timedelta(minutes=50)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "database_time", ahead)
    rosters[0].beat(ME, WorkerRecord("a/1", "CPU"))
    a, b = reader.read()
    assert a.silent_s < 30
    assert 3000 <= b.silent_s < 3030
    rosters[0].leave(ME)
    rosters[0].leave(ME)
    assert [w.worker for w in reader.read()] == ["b/2"]
    # Who died without a word is forgotten after an hour, by whoever beats next.
    monkeypatch.setattr(module, "database_time", lambda s: ahead(s) + timedelta(minutes=11))  # type: ignore[operator]
    rosters[0].beat(ME, WorkerRecord("a/1", "CPU"))
    assert [w.worker for w in reader.read()] == ["a/1"]
    assert open_storage().study_names() == []
    assert open_studies(open_storage()) == []
