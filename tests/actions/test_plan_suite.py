"""Suites on real storage and real workers; only the process of a trial is a thread, and most train
nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from search.actions import check_suite, plan_study
from search.actions.check_suite import prepare_suite
from search.actions.plan_suite import Bench, open_suite
from search.errors import InputError, TrialError
from search.paths import home
from search.records import StudyRecord
from search.report.comparison.contenders import contenders
from search.report.comparison.entrants import suite_entrants
from search.report.comparison.suite_rows import comparison_rows
from search.strategies import derive_seed
from search.study.storage.read import read_study
from search.study.suite import stored_suite
from search.training.probe import Answer, Corner, ProbeReport, Question
from search.training.trainer import train
from search.worker.trial.messages import Ended, EpochDone, Evaluated
from tests.worker.helpers import DEAD, PowerCut, Sandbox, pretend, run_all, serve

SPACE = """
extends: mlp
document: {depth: 1, units: 32, dropout: 0.2, batch_size: 500, epochs: 5}
"""
# A rate so low that weights stand still, so that what follows is known beforehand.
STILL = (
    "{lr: 1e-12, schedule: plateau, plateau_patience: 1, plateau_factor: 0.5, early_stopping: 2}"
)
THREE = """
seeds: 2
systems:
  - {model: mlp, data: digits, epochs: 2}
  - {model: convNN_1, data: digits, epochs: 2, evaluate: validation}
  - {model: mlp, data: digits, setting: {lr: 0.5}, epochs: 2, evaluate: train}
"""

MakeBench = Callable[..., Bench]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeBench]:
    """A checked suite from the text of its file; no network is built to check it."""
    (tmp_path / "spaces").mkdir()
    (tmp_path / "spaces" / "mlp.yaml").write_text(SPACE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        check_suite, "build_all", lambda questions, **_: [Answer(1, None)] * len(questions)
    )
    monkeypatch.setattr(
        plan_study, "probe", lambda *_, **__: ProbeReport((Corner({}, 1, None),), {}, ())
    )
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    made: list[Bench] = []

    def make(
        text: str, *only: str, name: str = "own", skip: Sequence[str] = (), **flags: Any
    ) -> Bench:
        file = tmp_path / "own.yaml"
        file.write_text(text)
        made.append(
            prepare_suite(
                str(file), flags | {"name": name, "workers": "1"}, only, skip, lambda _: None
            )
        )
        return made[-1]

    yield make
    for one in made:
        one.storage.remove_session()
        one.storage.engine.dispose()


def finals(found: Bench) -> list[StudyRecord]:
    return [read_study(found.storage, f"{s.study}.final") for s in found.suite.systems]


def numbers(study: StudyRecord) -> list[Any]:
    """All that must repeat bit for bit: everything of the trials but times and who trained them."""
    curves = [[(e.step, e.values) for e in t.curve] for t in study.trials]
    return [
        (t.state, t.seed, t.n_params, t.evaluation, c)
        for t, c in zip(study.trials, curves, strict=True)
    ]


def test_a_suite_trains_each_system_on_exactly_its_seeds_and_scores_the_right_images(
    bench: MakeBench,
) -> None:
    found = bench(THREE)
    jobs = run_all(found, pretend).jobs
    by_split = {j.evaluate: j for j in jobs}
    assert len(jobs) == 6
    assert {s: j.train_on for s, j in by_split.items()} == {
        "test": "all",
        "validation": "train",
        "train": "all",
    }
    test_folder = str(found.data[found.chosen[0].study].test_folder)
    assert {s: j.test_data for s, j in by_split.items()} == {
        "test": test_folder,
        "validation": None,
        "train": None,
    }
    assert not any(test_folder in (j.data, j.cache, j.evidence, j.checkpoint) for j in jobs)
    for study, split in zip(finals(found), ("test", "validation", "train"), strict=True):
        assert [(t.number, t.state, t.epochs) for t in study.trials] == [
            (0, "COMPLETE", 2),
            (1, "COMPLETE", 2),
        ]
        seeds = {t.seed for t in study.trials}
        assert len(seeds) == 2
        assert not seeds & {derive_seed(0, n) for n in range(100)}
        assert {t.evaluation.split for t in study.trials if t.evaluation} == {split}


def test_the_same_suite_again_does_nothing_and_more_seeds_add_to_it(bench: MakeBench) -> None:
    two, again = bench(THREE), bench(THREE)
    run_all(two, pretend)
    before = finals(two)
    assert run_all(again, pretend).jobs == []
    assert finals(again) == before
    three = bench(THREE, seeds=3)
    assert len(run_all(three, pretend).jobs) == 3
    after = finals(three)
    assert [len(s.trials) for s in after] == [3, 3, 3]
    assert [s.trials[:2] for s in after] == [s.trials for s in before]
    with pytest.raises(InputError) as error:
        bench(THREE, seeds=1).final_plans()
    told = [p for p in error.value.problems if "3; they may grow but not shrink to 1" in p]
    assert {p.split("'")[1] for p in told} == {f"{s.study}.final" for s in two.chosen}
    assert len(error.value.problems) == len(told)


def searches(found: Bench) -> list[tuple[StudyRecord, StudyRecord]]:
    """Each search of a suite that was run, with its finalists."""
    names = [s.study for s in found.suite.systems if s.search]
    return [(read_study(found.storage, n), read_study(found.storage, f"{n}.final")) for n in names]


MIXED = """
seeds: 2
systems:
  - {model: mlp, data: digits, setting: {units: 32}, search: {n_trials: 3, epochs: 2, finalists: 1}}
  - {model: mlp, data: digits, setting: {units: 32, depth: 1}, epochs: 2}
"""


def test_a_suite_searches_like_a_study_and_replicates_its_finalists(bench: MakeBench) -> None:
    """Beside fixed settings, on the suite's seeds and split, with what is pinned; again it does
    nothing.
    """
    found = bench(MIXED)
    jobs = run_all(found, pretend).jobs
    [(search, final)] = searches(found)
    assert [(t.state, t.epochs, t.params["units"]) for t in search.trials] == [
        ("COMPLETE", 2, 32)
    ] * 3
    assert [r["source"] for r in final.spec["replicates"]] == [
        0,
        0,
    ]  # pretended curves are all alike
    assert [t.evaluation.split for t in final.trials if t.evaluation] == ["test", "test"]
    assert (search.spec["n_trials"], search.spec["finalists"], search.spec["n_replicates"]) == (
        3,
        1,
        2,
    )
    assert len(jobs) == 3 + 2 + 2
    searched, fixed = contenders(suite_entrants(found.storage, stored_suite(found.folder).systems))
    assert (searched.model, searched.n_trials, len(searched.values)) == ("mlp (units=32)", 3, 2)
    assert (fixed.model, fixed.is_search, fixed.search, len(fixed.values)) == (
        "mlp (units=32, depth=1)",
        False,
        None,
        2,
    )
    again = bench(MIXED)
    assert [again.batches(p) for p in (again.first_plans(), again.final_plans())] == [[], []]
    more = bench(MIXED.replace("n_trials: 3", "n_trials: 4"), seeds=3)
    assert [[p.spec.name for p in batch] for batch in more.batches(more.first_plans())] == [
        [search.name]
    ]
    assert (
        len(run_all(more, pretend).jobs) == 1 + 1 + 1
    )  # a trial, a replicate of it, one of the fixed setting
    [(grown, regrown)] = searches(more)
    assert (len(grown.trials), grown.trials[:3]) == (4, search.trials)
    assert (len(regrown.trials), regrown.trials[:2]) == (3, final.trials)


def test_searches_that_can_t_go_on_are_all_named(bench: MakeBench) -> None:
    two = MIXED.replace(
        "digits, setting: {units: 32}, search", "digits, setting: [{units: 32}, {}], search"
    )
    run_all(bench(two), pretend)
    with pytest.raises(InputError) as error:
        bench(two, seed=7)
    told = [
        p for p in error.value.problems if "seed: the study has 0, this command asks for 7" in p
    ]
    assert len(told) == 2


def test_a_search_whose_finalists_were_cut_off_is_not_done(bench: MakeBench) -> None:
    found = bench(MIXED)
    ledgers, cut = (
        open_suite(found, found.first_plans()),
        Sandbox(pretend, lambda m: isinstance(m, Evaluated)),
    )
    with pytest.raises(PowerCut):
        serve(ledgers, cut, owner=DEAD)
    assert not found.is_done(found.first_plans()[0])
    run_all(bench(MIXED), pretend)
    assert found.is_done(found.first_plans()[0])
    [(search, final)] = searches(found)
    assert (len(search.trials), [t.state for t in final.trials]) == (3, ["COMPLETE"] * 2)


def test_searches_with_a_time_limit_run_one_after_another(bench: MakeBench) -> None:
    """So that each has its time; all others run together."""
    found = bench("""
systems:
  - {model: mlp, data: digits, setting: [{units: 32}, {units: 64}], search: {n_trials: 2, epochs: 1}}
  - {model: mlp, data: digits, setting: [{lr: 0.1}, {lr: 0.2}], search: {n_trials: 2, epochs: 1, timeout_s: 60}}
""")
    assert [[p.spec.timeout_s for p in batch] for batch in found.batches(found.first_plans())] == [
        [None, None],
        [60],
        [60],
    ]


def test_a_part_of_a_suite_keeps_the_rows_of_the_rest(bench: MakeBench) -> None:
    whole = bench(THREE)
    run_all(whole, pretend)
    before = comparison_rows(stored_suite(whole.folder), whole.storage)
    part = bench(THREE, "convNN_1", seeds=3, epochs=2)
    assert len(run_all(part, pretend).jobs) == 1
    after = comparison_rows(stored_suite(part.folder), part.storage)
    assert [(r.model, r.data, r.split, r.n_wanted, len(r.values)) for r in after] == [
        ("mlp", "digits", "test", 2, 2),
        ("convNN_1", "digits", "validation", 3, 3),
        ("mlp (lr=0.5)", "digits", "train", 2, 2),
    ]
    assert [after[0], after[2]] == [before[0], before[2]]
    [trained] = {(r.epochs, r.n_params, r.seconds_per_epoch, r.device) for r in after}
    assert trained == (2, 7, 1.0, "here")


def test_a_recipe_that_watches_is_tried_once_and_its_rates_are_replayed_on_all_images(
    bench: MakeBench,
) -> None:
    """Scored on the test set it can't watch; scored on validation images it can, and needs no first
    training.
    """
    two = f"systems: [{{model: mlp, data: digits, setting: {STILL}, evaluate: [SPLIT], seeds: 1}}]"
    found = bench(two.replace("[SPLIT]", "test"))
    jobs = run_all(found, train).jobs
    [first] = read_study(found.storage, found.chosen[0].study).trials
    [final] = finals(found)[0].trials
    assert [(j.train_on, j.evaluate, j.test_data is None) for j in jobs] == [
        ("train", None, True),
        ("all", "test", False),
    ]
    assert (first.state, first.epochs, first.total_epochs) == ("COMPLETE", 3, 5)  # stopped early
    rates = [e.values["lr"] for e in first.curve]
    assert [r / rates[0] for r in rates] == [1, 1, 0.5]
    assert (final.state, final.epochs, [e.values["lr"] for e in final.curve]) == (
        "COMPLETE",
        3,
        rates,
    )
    assert (jobs[1].total_epochs, jobs[1].stop_at, final.seed != first.seed) == (5, 3, True)
    assert {e.val_accuracy for e in final.curve} == {None}
    assert final.evaluation is not None
    assert (final.evaluation.split, final.evaluation.n) == ("test", 360)
    with np.load(home() / f"{found.chosen[0].study}.final" / "evidence" / "trial-0000.npz") as kept:
        assert (str(kept["split"]), int(kept["step"]), len(kept["true"])) == ("test", 3, 360)
        assert (kept["true"] == kept["predicted"]).mean() == final.evaluation.accuracy

    watched = bench(two.replace("[SPLIT]", "validation"), name="watched")
    assert watched.first_plans() == []
    assert [(j.train_on, j.test_data) for j in run_all(watched, train).jobs] == [("train", None)]
    [trial] = finals(watched)[0].trials
    assert (trial.state, trial.epochs, trial.val_accuracy) == (
        "COMPLETE",
        3,
        trial.evaluation and trial.evaluation.accuracy,
    )


def test_a_replicate_killed_again_and_again_ends_with_the_same_numbers(bench: MakeBench) -> None:
    """In mid-training, before it was scored, and between its score and its end: it is scored once
    all the same.
    """
    one = (
        "systems: [{model: mlp, data: digits, setting: {lr: 0.1, momentum: 0.9}, epochs: 3,"
        " seeds: 1}]"
    )
    whole = bench(one, name="whole")
    run_all(whole, train)
    cut = bench(one, name="cut")
    for at in (
        lambda m: isinstance(m, EpochDone) and m.metrics["step"] == 2,
        lambda m: isinstance(m, Evaluated),
        lambda m: isinstance(m, Ended),
    ):
        with pytest.raises(PowerCut):
            serve(open_suite(cut, cut.final_plans()), Sandbox(train, at), owner=DEAD)
    [trial] = finals(cut)[0].trials
    assert (trial.state, trial.epochs, trial.evaluation is not None) == ("RUNNING", 3, True)
    assert run_all(cut, train).jobs == []
    assert numbers(finals(cut)[0]) == numbers(finals(whole)[0])


def test_a_first_training_that_failed_is_not_replicated_and_holds_up_nothing_else(
    bench: MakeBench,
) -> None:
    """Not even if it got some epochs far; the table says why there is no value."""

    def fail_in_epoch_2(job: Any, *, on_epoch: Any, **callbacks: Any) -> str:
        def on_epoch_or_fail(step: int, metrics: Any) -> str:
            if step == 2 and job.evaluate is None:
                raise TrialError("the loss became NaN")
            return str(on_epoch(step, metrics))

        return pretend(job, on_epoch=on_epoch_or_fail, **callbacks)

    watched = "{model: mlp, data: digits, setting: {schedule: plateau}}"
    found = bench(f"seeds: 2\nsystems: [{watched}, {{model: convNN_1, data: digits, epochs: 1}}]")
    run_all(found, fail_in_epoch_2)
    [first] = read_study(found.storage, found.chosen[0].study).trials
    assert (first.state, first.epochs) == ("FAIL", 1)
    assert f"{found.chosen[0].study}.final" not in found.storage.study_names()
    mlp, conv = comparison_rows(stored_suite(found.folder), found.storage)
    assert (mlp.values, mlp.n_failed, "the loss became NaN" in mlp.note) == ((), 2, True)
    assert len(conv.values) == 2


def mistakes(bench: MakeBench, *arguments: Any, **flags: Any) -> Sequence[str]:
    with pytest.raises(InputError) as error:
        bench(*arguments, **flags)
    assert not (home() / "own").exists()
    return error.value.problems


def test_every_mistake_of_every_system_is_told_at_once(bench: MakeBench) -> None:
    text = """
systems:
  - {model: mpl, data: digits}
  - {model: [mlp, lenet5], data: digits, setting: {units: 1, unitz: 3}}
  - {model: mlp, data: [digts, gone.npz], setting: {lr: -1, label_smoothing: 2, optimizer: sdg}}
"""
    said = mistakes(bench, text, threads="x")
    for parts in [
        ("mpl on digits", "did you mean 'mlp'?"),
        ("mlp on digits", "unitz", "did you mean 'units'?"),
        ("lenet5 on digits", "units", "1"),
        ("mlp on digts", "lr", "-1"),
        ("label_smoothing", "2", "below 1"),
        ("optimizer", "'sdg'", "'sgd'"),
        ("DATA: 'digts'", "did you mean 'digits'?"),
        ("gone.npz", "no such file"),
        ("--threads", "'x'", "whole number"),
    ]:
        assert any(all(part in line for part in parts) for line in said), (parts, said)
    strange = (
        "systems: [{model: mlp, data: digits, search: {}, evaluate: train, validation_fraction:"
        " 0.3}]"
    )
    scored, split = mistakes(bench, strange)
    assert "a search is scored on the test set, not on train" in scored
    assert "validation_fraction: searches of a suite share their split" in split
    assert mistakes(bench, THREE, "convNN_2") == (
        "--only: 'convNN_2' is not in the suite; did you mean 'convNN_1'?",
    )
    [line] = mistakes(bench, THREE, "mlp", skip=["mlp"])
    assert "leave no system" in line


def test_networks_that_a_data_set_does_not_fit_are_all_named(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answers(questions: Sequence[Question], *, weights: bool) -> list[Answer]:
        assert weights  # their starting weights are looked for, too
        assert {(q.input_shape, q.n_classes) for q in questions} == {((8, 8, 1), 10)}
        return [
            Answer(7, None) if q.model == "mlp" else Answer(None, "too small") for q in questions
        ]

    monkeypatch.setattr(check_suite, "build_all", answers)
    text = "systems: [{model: [convNN_7, mlp, convNN_4], data: digits}]"
    assert mistakes(bench, text) == (
        "convNN_7 on digits: too small",
        "convNN_4 on digits: too small",
        "or leave them out: --skip convNN_7 --skip convNN_4",
    )
    assert mistakes(bench, text, "convNN_4")[0] == "convNN_4 on digits: too small"
    assert [s.model for s in bench(text, skip=("convNN_7", "convNN_4")).chosen] == ["mlp"]
