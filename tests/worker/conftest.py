"""Studies on the queue, and a worker that serves them."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from search.datasets.split import prepare
from search.paths import cache
from search.study.storage.ledger import Ledger
from search.study.storage.optuna_storage import LedgerStorage
from tests.study.helpers import spec
from tests.worker.helpers import Sandbox
from tests.worker.service_helpers import Flaky, Put, Stop, a_day, images, until_told


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Flaky]:
    made = Flaky(f"sqlite:///{tmp_path / 'studies.db'}")
    yield made
    made.remove_session()
    made.engine.dispose()


@pytest.fixture
def put(storage: LedgerStorage) -> Put:
    """Puts a study on the queue whose data is here, unless it is called otherwise."""

    def put_one(
        name: str,
        *,
        priority: int = 0,
        data: str = "small",
        other_code: bool = False,
        **changes: Any,
    ) -> Ledger:
        found = images(data)
        if data == "small":
            prepare(found, seed=3, validation_fraction=0.25, cache=cache())
        quick = {"n_trials": 2, "epochs": 2, "strategy": "random", "validation_fraction": 0.25}
        source = {"data": data, "data_source": f"/nowhere/{data}.npz", "data_digest": found.digest}
        wanted = spec(name=name, **quick | source | changes)
        return Ledger.open(storage, wanted, {}, priority=priority, other_code=other_code)

    return put_one


@pytest.fixture
def serve(storage: LedgerStorage) -> Iterator[Callable[..., Stop]]:
    """Works until idle; or, `until_idle=False`, in the background until the test ends."""
    stops: list[Stop] = []
    threads: list[threading.Thread] = []

    def work(sandbox: Sandbox, *names: str, until_idle: bool = True, **options: Any) -> Stop:
        stops.append(Stop())
        day = a_day(storage, sandbox, *names, stop=stops[-1], until_idle=until_idle, **options)
        if until_idle:
            day.run()
        else:
            threads.append(threading.Thread(target=until_told, args=(day,)))
            threads[-1].start()
        return stops[-1]

    yield work
    for stop in stops:
        stop.set()
    for thread in threads:
        thread.join(20)
