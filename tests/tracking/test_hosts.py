"""Several hosts, each with an outbox of its own, send one study at the same time."""

import itertools
import random
import threading
from contextlib import suppress

import pytest

from search.tracking.mlflow import store
from search.tracking.mlflow.client import open_client
from search.tracking.mlflow.runs import Run, choose
from search.tracking.mlflow.send import Mirror, sync
from search.tracking.outbox import Outbox, write_header
from tests.tracking.helpers import client, run_trial, runs, steps

N_TRIALS = 3


@pytest.fixture
def hosts(tmp_path):
    """The outboxes of two hosts, with the same study, written down at different moments."""
    for at, name in ((50, "b"), (60, "a")):
        write_header(
            tmp_path / name,
            {"study": "mlp-digits", "id": "one", "at": at, "params": {"n_trials": N_TRIALS}},
        )
    return tmp_path / "a", tmp_path / "b"


def send(*folders, uri):
    for folder in folders:
        result = sync(folder, uri=uri, artifact_root=None)
        assert (result.n_left, result.error) == (0, None)


class InStep:
    """A client that creates a run only when the other host is about to create one, too."""

    def __init__(self, inner, gate):
        self._inner, self._gate = inner, gate

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def create_run(self, *args, **kwargs):
        with suppress(threading.BrokenBarrierError):
            self._gate.wait(1.0)
        return self._inner.create_run(*args, **kwargs)

    def create_experiment(self, *args, **kwargs):
        with suppress(threading.BrokenBarrierError):
            self._gate.wait(1.0)
        return self._inner.create_experiment(*args, **kwargs)


def test_hosts_that_begin_at_the_same_moment_end_up_with_the_same_runs(
    hosts, uri, monkeypatch, tmp_path
):
    (tmp_path / "report.html").write_text("best")
    gate = threading.Barrier(2)
    monkeypatch.setattr(store, "open_client", lambda uri: InStep(open_client(uri), gate))
    for folder, some in zip(hosts, ([1, 2, 3], [3, 4, 5]), strict=True):
        outbox = Outbox(folder, folder.name)
        for trial in range(N_TRIALS):
            # Step 3 is told by both with one time and value, the others by one host each.
            state = "COMPLETE" if folder.name == "b" else None
            run_trial(outbox, trial, some, state)
        outbox.artifacts(0, [tmp_path / "report.html"])
    threads = [threading.Thread(target=patiently_send, args=(folder, uri)) for folder in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    monkeypatch.undo()

    mlflow = client(uri)
    experiment = mlflow.get_experiment_by_name("mlp-digits").experiment_id
    deleted = mlflow.search_runs([experiment], run_view_type=2)
    assert deleted, "the hosts were not in step: nothing was tested"
    sent = runs(uri)
    parent = sent.pop("mlp-digits")
    assert parent.info.status == "FINISHED"
    assert sorted(sent) == [f"trial-{n:04d}" for n in range(N_TRIALS)]
    for run in sent.values():
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert [sorted(steps(uri, run, key)) for key in ("val_accuracy", "loss")] == [
            [1, 2, 3, 4, 5]
        ] * 2
        assert (run.info.status, run.data.tags["state"]) == ("FINISHED", "COMPLETE")
        assert run.data.params == {"lr": "0.1", "units": "32"}
    assert [file.path for file in mlflow.list_artifacts(sent["trial-0000"].info.run_id)] == [
        "report.html"
    ]


def patiently_send(folder, uri):
    for _ in range(50):
        result = sync(folder, uri=uri, artifact_root=None)
        if result.error is None and not result.n_left:
            return


def make_twin(uri, name, *, at, **tags):
    """Create a run of `name` as a host would that had looked before there was one."""
    mlflow = client(uri)
    tags = {f"gridless.{key}": value for key, value in tags.items()}
    tags |= {"gridless.study_id": "one", "mlflow.runName": name}
    experiment = mlflow.get_experiment_by_name("mlp-digits").experiment_id
    return mlflow.create_run(experiment, start_time=at, tags=tags).info.run_id


def test_a_host_whose_runs_were_given_up_for_twins_moves_over_and_loses_nothing(hosts, uri):
    # The other host died after creating its twins, which win since they began earlier.
    outbox = Outbox(hosts[0], "w")
    run_trial(outbox, 0, [1, 2], None)
    send(hosts[0], uri=uri)
    kept = (
        make_twin(uri, "mlp-digits", at=1, kind="study"),
        make_twin(uri, "trial-0000", at=1, kind="trial", trial="0"),
    )
    run_trial(outbox, 0, [2, 3], "COMPLETE", at=200.0)
    send(hosts[0], uri=uri)
    sent = runs(uri)
    assert [sent[name].info.run_id for name in ("mlp-digits", "trial-0000")] == list(kept)
    assert sent["trial-0000"].data.tags["mlflow.parentRunId"] == kept[0]
    assert steps(uri, sent["trial-0000"]) == steps(uri, sent["trial-0000"], "loss") == [1, 2, 3]
    assert sent["trial-0000"].info.status == "FINISHED"
    before = {name: run.to_dictionary() for name, run in sent.items()}
    send(hosts[0], uri=uri)
    assert {name: run.to_dictionary() for name, run in runs(uri).items()} == before


def test_what_a_lost_host_sent_to_a_twin_is_brought_over_and_a_live_one_notices(
    hosts, uri, tmp_path
):
    (tmp_path / "weights.txt").write_text("0.5")
    outbox = Outbox(hosts[0], "w")
    run_trial(outbox, 0, [1, 2], None)
    outbox.artifacts(0, [tmp_path / "weights.txt"])
    live = Mirror(hosts[0], uri, None)
    assert live.sync(settle=False).error is None
    kept = make_twin(uri, "trial-0000", at=1, kind="trial", trial="0")
    run_trial(Outbox(hosts[1], "w"), 1, [1], "COMPLETE")
    send(hosts[1], uri=uri)
    run = runs(uri)["trial-0000"]
    assert run.info.run_id == kept
    assert steps(uri, run) == steps(uri, run, "loss") == [1, 2]
    assert (run.data.params["lr"], run.data.tags["device"], run.data.tags["state"]) == (
        "0.1",
        "cpu",
        "RUNNING",
    )
    assert [file.path for file in client(uri).list_artifacts(kept)] == ["weights.txt"]
    # The first host still writes to the run that is gone.
    outbox.metrics(0, 3, {"val_accuracy": 0.3, "loss": 1.0}, at=200.0)
    assert live.sync(settle=False).error is None
    assert steps(uri, runs(uri)["trial-0000"]) == [1, 2, 3]


def test_every_host_keeps_the_same_of_several_runs():
    twins = [Run(id=name, started_ms=at) for name, at in (("c", 5), ("b", 3), ("a", 3), ("d", 1))]
    twins[3].is_deleted = True
    for order in itertools.permutations(twins):
        choice = choose(order)
        assert choice.kept is twins[2]
        assert {run.id for run in choice.surplus} == {"b", "c"}
    assert choose(twins[3:]).kept is twins[3], "the user deleted it"
    twins[3].tags["gridless.twin_of"] = "a"
    assert choose(twins[3:]) == (None, [], [twins[3]])


TOLD = [
    ("start", 100.0, "RUNNING"),
    ("end", 110.0, "WAITING"),
    ("start", 120.0, "RUNNING"),
    ("end", 90.0, "COMPLETE"),
    ("start", 3700.0, "RUNNING"),
    ("end", 3710.0, "WAITING"),
]
"""By hosts of which one's clock is an hour ahead."""


@pytest.mark.parametrize("n_told", [3, 6])
@pytest.mark.parametrize("seed", range(3))
def test_the_newest_state_holds_and_an_end_for_good_above_all(uri, tmp_path, n_told, seed):
    events = TOLD[:n_told]
    for number, (kind, at, state) in enumerate(random.Random(seed).sample(events, n_told)):
        write_header(tmp_path / f"{number}", {"study": "mlp-digits", "id": "one"})
        outbox = Outbox(tmp_path / f"{number}", "w")
        if kind == "start":
            outbox.start(0, at=at, tags={})
        else:
            outbox.end(0, state, at=at, tags={})
        send(tmp_path / f"{number}", uri=uri)
    run = runs(uri)["trial-0000"]
    expected = ("FINISHED", "COMPLETE") if n_told == len(TOLD) else ("RUNNING", "RUNNING")
    assert (run.info.status, run.data.tags["state"]) == expected
    assert runs(uri)["mlp-digits"].info.status == expected[0]


class Interrupted:
    """A client before whose n-th request something happens."""

    def __init__(self, inner, n, happen):
        self._inner, self._left, self._happen = inner, n, happen

    def __getattr__(self, name):
        self._left -= 1
        if self._left == 0:
            self._happen()
        return getattr(self._inner, name)


def test_an_end_that_arrives_between_any_two_requests_of_another_host_holds(
    tmp_path, uri, monkeypatch
):
    for n in itertools.count(1):
        a, b = tmp_path / f"a{n}", tmp_path / f"b{n}"
        for folder in (a, b):
            write_header(folder, {"study": f"s{n}", "id": f"s{n}"})
        outbox = Outbox(a, "w")
        outbox.start(0, at=100.0, tags={})
        send(a, uri=uri)
        outbox.end(0, "WAITING", at=400.0, tags={})
        run_trial(Outbox(b, "w"), 0, [1], "COMPLETE", at=200.0)
        with monkeypatch.context() as patch:
            clients = [
                open_client(uri),
                Interrupted(open_client(uri), n, lambda b=b: send(b, uri=uri)),
            ]
            left = clients.copy()
            patch.setattr(store, "open_client", lambda uri, left=left: left.pop())
            send(a, uri=uri)
        if clients[1]._left > 0:
            break
        sent = runs(uri, f"s{n}")
        assert [run.info.status for run in sent.values()] == ["FINISHED"] * 2, f"before request {n}"
        assert sent["trial-0000"].data.tags["state"] == "COMPLETE"
    assert n > 6
