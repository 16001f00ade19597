"""Records as reports and views get them."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from search.analysis.ranking import front, ranking
from search.errors import InputError
from search.objectives import objective_of
from search.records import Task
from search.study.spec import StudySpec
from search.study.storage.claim import WorkerIdentity
from search.study.storage.ledger import Ledger
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.read import TrialReader, read_study
from search.study.storage.trial_rows import DamagedError, decoding
from tests.study.helpers import SPACE, begin, epoch, measured, spec

Open = Callable[[], LedgerStorage]


def test_a_reader_sees_every_change_of_every_trial(open_storage: Open) -> None:
    """It re-reads only what may have changed, which must leave nothing out."""
    ledger, me = Ledger.open(open_storage(), spec(), {}), WorkerIdentity.me("me")
    storage = open_storage()
    reader = TrialReader(storage, storage.get_study_id_from_name("s"))
    assert reader.read() == []
    first, second = begin(ledger, me, [0.1]), begin(ledger, me)
    assert [t.epochs for t in reader.read()] == [1, 0]
    ledger.report(second, [epoch(1, 0.5)])
    ledger.complete(first, 0.1)
    assert [(t.state, t.epochs) for t in reader.read()] == [("COMPLETE", 1), ("RUNNING", 1)]
    ledger.give_back(second, paused=True)
    third = begin(ledger, me, [0.2, 0.3])
    ledger.fail(third, "why", log_tail="end")
    assert [(t.state, t.paused) for t in reader.read()] == [
        ("COMPLETE", False),
        ("WAITING", True),
        ("FAIL", False),
    ]
    again = ledger.claim(me, promote=1, new=False)
    assert again is not None
    ledger.report(again, [epoch(2, 0.7)])
    ledger.give_back(again, paused=True)
    assert [t.epochs for t in reader.read()] == [1, 2, 2]  # it waited before, and waits again
    assert tuple(reader.read()) == read_study(open_storage(), "s").trials


GOALS = {
    "the largest": (Task.CLASSIFICATION, ("f1_macro",), (), 1),
    "the smallest": (Task.REGRESSION, ("mse",), (), 0),
    "a function's": (Task.BINARY, ("own.costs:total:min",), (), 0),
    "several, with a bound": (Task.MULTILABEL, ("log_loss", "n_params"), ("model_mb=5",), 0),
}


@pytest.mark.parametrize(("task", "objective", "at_most", "best"), GOALS.values(), ids=GOALS)
def test_a_study_of_any_task_and_goal_is_read_as_it_was_stored(
    open_storage: Open,
    task: Task,
    objective: tuple[str, ...],
    at_most: tuple[str, ...],
    best: int,
) -> None:
    changes = {"task": task, "objective": objective, "at_most": at_most}
    ledger, me = Ledger.open(open_storage(), spec(**changes), {}), WorkerIdentity.me("me")
    key = objective_of(objective[0]).key
    for value in (0.25, 4.0):
        epochs = [measured(epoch(1, 0.5), **{key: value})]
        ledger.complete(begin(ledger, me), value, epochs, n_params=9, latency_ms=2.5)
    study = read_study(open_storage(), "s")
    assert StudySpec(**study.spec) == ledger.spec
    assert study.goal == ledger.spec.goal
    assert [trial.value for trial in study.trials] == [0.25, 4.0]
    assert [trial.latency_ms for trial in study.trials] == [2.5, 2.5]
    assert [trial.number for trial in ranking(study)] == [best, 1 - best]
    assert len(front(study) or ()) == (1 if len(objective) > 1 else 0)
    Ledger.open(open_storage(), spec(**changes), {})  # which goes on
    with pytest.raises(InputError, match=r"objective: the study has .*asks for accuracy"):
        Ledger.open(open_storage(), spec(**changes | {"objective": ("accuracy",)}), {})


def test_trials_that_wait_at_their_rungs_are_not_read_again_and_again(
    open_storage: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, me = Ledger.open(open_storage(), spec(n_trials=20), {}), WorkerIdentity.me("me")
    for _ in range(20):
        ledger.give_back(begin(ledger, me, [0.1, 0.2, 0.3]), paused=True)
    reader = TrialReader(ledger.storage, ledger.study_id)
    asked: list[set[int]] = []
    real = ledger.storage.read_trials

    def read_trials(study_id: int, pending: set[int], newest: int) -> Any:
        asked.append(pending)
        return real(study_id, pending, newest)

    monkeypatch.setattr(ledger.storage, "read_trials", read_trials)
    for _ in range(3):
        assert len(reader.read()) == 20
    claim = ledger.claim(me, promote=7, new=False)
    assert claim is not None
    assert reader.read()[7].state == "RUNNING"
    assert [len(pending) for pending in asked] == [0, 20, 0, 1]


@pytest.mark.parametrize(("data", "expected"), [("fashion", 0.8), ("digits", None)])
def test_a_published_figure_belongs_to_its_own_data(
    open_storage: Open, data: str, expected: float | None
) -> None:
    space = SPACE.as_dict() | {
        "data": "fashion",
        "published": {"value": 0.8, "split": "test", "source": "X"},
    }
    Ledger.open(open_storage(), spec(data=data, space=space), {"python": "3"})
    record = read_study(open_storage(), "s")
    assert (record.published or {}).get("value") == expected
    assert record.environment == {"python": "3"}
    assert open_storage().study_names() == ["s"]


EPOCH = "UPDATE trial_user_attributes SET value_json = {} WHERE key = 'epoch:1' AND trial_id = 2"
STUDY = "UPDATE study_user_attributes SET value_json = {} WHERE key = '{}'"
DAMAGE = {
    "an epoch without a rate": (
        EPOCH.format("""'{"step": 1, "loss": 1, "accuracy": 1, "seconds": 1, "at": 1}'"""),
        "trial 1: LookupError: epoch 1 has no lr",
    ),
    "an epoch cut short": (EPOCH.format("""'{"step": 1'"""), "trial 1: JSONDecodeError"),
    "an epoch that lacks figures": (
        EPOCH.format("""'{"step": 1}'"""),
        "trial 1: ValidationError: curve.0.seconds",
    ),
    "bytes that are no text": (
        EPOCH.format("CAST(x'7bff7d' AS TEXT)"),
        "Could not decode to UTF-8",
    ),
    "a state that is none": ("UPDATE trials SET state = 'DONE' WHERE trial_id = 2", "LookupError"),
    "a time that is none": (
        "UPDATE trials SET datetime_start = 'noon' WHERE trial_id = 2",
        "ValueError",
    ),
    "a param that is none": (
        "UPDATE trial_params SET distribution_json = '[]' WHERE trial_id = 2",
        "trial 1: TypeError",
    ),
    "settings that lack a model": (STUDY.format("'{}'", "spec"), "ValidationError: model"),
    "settings cut short": (STUDY.format("""'{"model"'""", "spec"), "JSONDecodeError"),
    "a place on the queue cut short": (STUDY.format("'{'", "queue"), "JSONDecodeError"),
}
"""What a disk, a copy cut short or a hand may do to a study of two trials, alone in its
database.
"""
on_sqlite = pytest.mark.parametrize("storage_url", ["sqlite"], indirect=True)
damaged = pytest.mark.parametrize(("statement", "told"), DAMAGE.values(), ids=DAMAGE)


def damage(storage: LedgerStorage, statement: str) -> None:
    with storage.session() as session:
        session.connection().exec_driver_sql(statement)


@on_sqlite
@damaged
def test_what_can_not_be_read_is_told_by_study_and_trial(
    open_storage: Open, statement: str, told: str
) -> None:
    storage = open_storage()
    ledger, me = Ledger.open(storage, spec(), {}), WorkerIdentity.me("me")
    ledger.complete(begin(ledger, me, [0.1]), 0.1)
    begin(ledger, me, [0.2, 0.3])
    reader = TrialReader(storage, ledger.study_id)
    reader.read()
    damage(storage, statement)
    reads: list[Callable[[], Any]] = [lambda: read_study(storage, "s")]
    if "study_user_attributes" not in statement:
        reads += [TrialReader(open_storage(), ledger.study_id).read, reader.read]
    for read in reads:
        with pytest.raises(
            DamagedError,
            match=rf"study 's': its stored record is damaged \(.*{told}.*bring back a copy",
        ):
            read()


@on_sqlite
def test_what_optuna_reads_is_told_of_as_well(open_storage: Open) -> None:
    storage = open_storage()
    ledger = Ledger.open(storage, spec(), {})
    begin(ledger, WorkerIdentity.me("me"), [0.2])
    for text in ("'{'", "CAST(x'7bff7d' AS TEXT)"):
        damage(
            storage, f"UPDATE trial_user_attributes SET value_json = {text} WHERE key = 'epoch:1'"
        )
        with pytest.raises(DamagedError, match="study 's': its stored record is damaged"):
            storage.whole_trials(ledger.study_id)
    with pytest.raises(InputError, match="was deleted"):
        storage.whole_trials(99)


@on_sqlite
def test_a_fault_of_ours_or_of_the_database_is_not_taken_for_damage(open_storage: Open) -> None:
    with pytest.raises(ZeroDivisionError), decoding("s"):
        raise ZeroDivisionError
    with (
        pytest.raises(sa.exc.OperationalError),
        decoding("s"),
        open_storage().engine.connect() as connection,
    ):
        connection.exec_driver_sql("SELECT nothing FROM nowhere")


def test_a_study_of_a_search_with_any_settings_that_a_user_may_give_is_read(
    open_storage: Open,
) -> None:
    storage = open_storage()
    Ledger.open(storage, spec(finalists=None, timeout_s=None, budget=None), {})
    assert read_study(storage, "s").spec["finalists"] is None
