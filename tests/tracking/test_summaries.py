"""What has come of a study and its finalists: told at the end, again, and by several hosts."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from search.analysis.finalists import Finalist, Judgement
from search.analysis.statistics import Interval
from search.paths import home
from search.records import Epoch, Evaluation, Search, StudyRecord, TrialRecord
from search.study.spec import Replicate, StudySpec
from search.tracking.mirror import data_inputs, tell_results
from search.tracking.mlflow.send import sync
from search.tracking.outbox import Outbox, write_header
from tests.tracking.helpers import client, run_trial, runs, steps

INPUTS = [
    {"name": f"digits.{part}", "digest": "abc", "context": part, "source": "digits"}
    for part in ("training", "validation")
]


def send(folder, uri):
    result = sync(folder, uri=uri, artifact_root=None)
    assert (result.n_left, result.error) == (0, None)


@pytest.fixture
def hosts(tmp_path):
    """The outboxes of two hosts with the same study, its trial told by one of them."""
    for name in ("a", "b"):
        write_header(
            tmp_path / name, {"study": "mlp-digits", "id": "one", "at": 50, "inputs": INPUTS}
        )
    run_trial(Outbox(tmp_path / "a", "w1"), 0, [1, 2], "COMPLETE")
    return tmp_path / "a", tmp_path / "b"


def tell(folder, at, **summaries):
    Outbox(folder, "study").summary(
        0, at=at, tags={"rank": summaries["rank"]}, values={"best_val_accuracy": summaries["best"]}
    )


@pytest.mark.parametrize("late_is_first", [True, False])
def test_the_latest_summary_holds_whichever_host_is_heard_first(hosts, uri, late_is_first):
    first, second = hosts
    tell(first, 300.0, rank="1", best=0.2)
    tell(second, 400.0, rank="2", best=0.25)
    for folder in (second, first) if late_is_first else (first, second):
        send(folder, uri)
    run = runs(uri)["trial-0000"]
    assert (run.data.tags["rank"], run.data.metrics["best_val_accuracy"]) == ("2", 0.25)
    assert (run.info.status, steps(uri, run)) == ("FINISHED", [1, 2])


def test_a_summary_told_again_changes_nothing(hosts, uri):
    for folder in hosts:
        tell(folder, 300.0, rank="1", best=0.2)
        send(folder, uri)
    before = {name: run.to_dictionary() for name, run in runs(uri).items()}
    for folder in hosts:
        # What is seen where a mirror was killed within a request: metrics are written before tags.
        client(uri).delete_tag(runs(uri)["trial-0000"].info.run_id, "gridless.summed_at")
        tell(folder, 300.0, rank="1", best=0.2)
        (folder / "positions.json").unlink()
        send(folder, uri)
    assert {name: run.to_dictionary() for name, run in runs(uri).items()} == before
    assert steps(uri, runs(uri)["trial-0000"], "best_val_accuracy") == [0]


def test_the_study_and_its_trials_name_their_data_once(hosts, uri):
    for folder in (*hosts, *hosts):
        (folder / "positions.json").unlink(missing_ok=True)
        send(folder, uri)
    for run in runs(uri).values():
        used = [
            (i.dataset.name, i.dataset.digest, i.tags[0].value) for i in run.inputs.dataset_inputs
        ]
        assert sorted(used) == [
            ("digits.training", "abc", "training"),
            ("digits.validation", "abc", "validation"),
        ]


SPEC = StudySpec(
    name="mlp-digits",
    model="mlp",
    data="digits",
    data_source="digits",
    n_trials=3,
    epochs=2,
    seed=0,
    strategy="random",
    workers=1,
    threads=1,
    timeout_s=None,
    budget=None,
    trial_timeout_s=None,
    validation_fraction=0.2,
    data_digest="d" * 64,
    space_digest="s",
    first=(),
    space={},
    finalists=1,
)
SEARCH_SEES = [("digits.training", "training"), ("digits.validation", "validation")]
FINALS_SEE = [("digits.training+validation", "training"), ("digits.test", "test")]


def replicate(seed):
    return Replicate(
        setting={}, seed=seed, source=1, epochs=2, stop_at=2, train_on="all", evaluate="test"
    )


def trial(number, state, *accuracies, **fields):
    curve = tuple(
        Epoch(n, {"loss": 1.0, "accuracy": 0.5, "val_accuracy": a, "lr": 0.1}, 2.0, 100.0 + n)
        for n, a in enumerate(accuracies, start=1)
    )
    return TrialRecord(
        number, state, {}, curve, n_params=9, ended=datetime.fromtimestamp(200, UTC), **fields
    )


def test_what_trials_see_is_named_and_never_the_test_set_in_a_search():
    final = SPEC.model_copy(update={"replicates": (replicate(5),)})
    assert [[(i.name, i.context) for i in data_inputs(s)] for s in (SPEC, final)] == [
        SEARCH_SEES,
        FINALS_SEE,
    ]


def test_ranks_finalists_and_test_scores_reach_the_runs(uri):
    trials = (trial(0, "COMPLETE", 0.5, 0.7), trial(1, "COMPLETE", 0.6, 0.8), trial(2, "FAIL", 0.9))
    study = StudyRecord("mlp-digits", "mlp", "digits", SPEC.model_dump(), trials)
    scored = trial(0, "COMPLETE", None, evaluation=Evaluation("test", 0.75, 1.0, 100))
    raw = SPEC.model_dump() | {"replicates": [replicate(5).model_dump(), replicate(6).model_dump()]}
    final = replace(study, name="mlp-digits.final", spec=raw, trials=(scored, trial(1, "FAIL")))
    interval = Interval(0.75, None, None, 1)
    best = Finalist(
        1, 1, False, False, 0.8, interval, (0.75,), n_wanted=2, n_failed=1, optimism=0.05
    )
    for record in (study, final):
        write_header(home() / record.name / "outbox", {"study": record.name})
    tell_results(Search(study, final), Judgement((best,), None, 100, True, ""))
    for record in (study, final):
        send(home() / record.name / "outbox", uri)

    sent = runs(uri)
    assert [sent[f"trial-000{n}"].data.tags.get("rank") for n in range(3)] == ["2", "1", None]
    assert [sent[f"trial-000{n}"].data.tags["finalist"] for n in range(3)] == ["no", "yes", "no"]
    measured = {"best_val_accuracy": 0.8, "best_epoch": 2, "epochs": 2, "train_s": 4, "n_params": 9}
    tested = {"test_accuracy_mean": 0.75, "n_replicates": 1, "optimism": 0.05}
    assert sent["trial-0001"].data.metrics == measured | tested
    parent = sent["mlp-digits"].data
    assert (parent.tags["best_trial"], parent.tags["champion_trial"]) == ("1", "1")
    assert "75.00" in parent.tags["mlflow.note.content"]
    assert parent.metrics["test_accuracy_mean"] == 0.75
    replicates = [runs(uri, "mlp-digits.final")[f"trial-000{n}"].data for n in range(2)]
    sources = [(r.tags["source_trial"], r.tags["source_rank"], r.tags["seed"]) for r in replicates]
    assert sources == [("1", "1", "5"), ("1", "1", "6")]
    assert [r.metrics.get("test_accuracy") for r in replicates] == [0.75, None]


def test_nothing_is_told_on_a_machine_without_the_outbox():
    study = StudyRecord(
        "mlp-digits", "mlp", "digits", SPEC.model_dump(), (trial(0, "COMPLETE", 0.5),)
    )
    tell_results(Search(study))
    assert not (home() / "mlp-digits").exists()


def test_data_that_mlflow_refuses_hold_nothing_else_up(folder, uri, caplog):
    (folder / "study.json").unlink()
    write_header(folder, {"study": "mlp-digits", "inputs": [INPUTS[0] | {"context": "x" * 1000}]})
    run_trial(Outbox(folder, "w1"), 0, [1, 2], "COMPLETE")
    send(folder, uri)
    assert steps(uri, runs(uri)["trial-0000"]) == [1, 2]
    assert "MLflow refuses the data" in caplog.text
