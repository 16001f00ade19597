"""MLflow comes and goes, also between the requests of one batch."""

import random
from collections import Counter

import pytest

from search.tracking.mlflow import send as mirror
from search.tracking.mlflow import store
from search.tracking.mlflow.client import open_client
from search.tracking.mlflow.send import sync
from search.tracking.outbox import Outbox
from tests.tracking.helpers import client, run_trial, runs, steps

N_TRIALS = 4


class Flapping:
    """A client that fails every other request or so, before or after the store has done what was
    asked.
    """

    def __init__(self, inner, chance):
        self._inner, self._chance = inner, chance

    def __getattr__(self, name):
        method = getattr(self._inner, name)

        def call(*args, **kwargs):
            if self._chance.random() < 0.1:
                raise ConnectionError("connection refused")
            answer = method(*args, **kwargs)
            if self._chance.random() < 0.1:
                raise ConnectionResetError("the answer was lost")
            return answer

        return call


@pytest.mark.parametrize("seed", range(2))
def test_a_store_that_fails_between_requests_gets_everything_once(folder, uri, monkeypatch, seed):
    chance = random.Random(seed)
    monkeypatch.setattr(mirror, "_BATCH", 20)
    n_failed = 0
    for life in range(2):
        # Each trial is interrupted and repeats a step, a little later.
        for trial in range(N_TRIALS):
            outbox = Outbox(folder, f"w{life}")
            run_trial(
                outbox,
                trial,
                [[1, 2, 3], [3, 4, 5]][life],
                ["WAITING", "COMPLETE"][life],
                at=100.0 + 50 * life,
            )
        with monkeypatch.context() as patch:
            patch.setattr(store, "open_client", lambda uri: Flapping(open_client(uri), chance))
            for _ in range(500):
                result = sync(folder, uri=uri, artifact_root=None)
                if result.error is None:
                    break
                n_failed += 1
        assert (result.n_left, result.error) == (0, None)
    assert n_failed > 5
    sent = runs(uri)
    parent = sent.pop("mlp-digits")
    assert (parent.info.status, len(sent)) == ("FINISHED", N_TRIALS)
    for run in sent.values():
        assert [steps(uri, run, key) for key in ("val_accuracy", "loss")] == [[1, 2, 3, 4, 5]] * 2
        assert (run.info.status, run.data.tags["state"]) == ("FINISHED", "COMPLETE")
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
    every = client(uri).search_runs([parent.info.experiment_id], run_view_type=3)
    assert Counter(run.info.lifecycle_stage for run in every) == {"active": N_TRIALS + 1}
