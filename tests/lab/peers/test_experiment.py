"""Searches run in turns, one process each; what is done is kept."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from search.errors import InputError
from search.lab.peers.experiment import Done, Searches, Setup, in_turns
from search.lab.peers.meter import Trace
from search.lab.peers.runs_file import Runs
from search.lab.peers.task import Task

TRACE = Trace(2, (0.3, 0.5, 0.4, 0.6, 0.9, 0.95, 0.99), (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0))
FACTS = {"budget": 3.0, "made_on": "here", "spaces": {"mlp-some": "ab12"}}


def test_every_system_comes_first_in_its_turn(make_task: Callable[..., Task]) -> None:
    tasks = [make_task(name=name, seed=seed) for name in ("a", "b") for seed in (0, 1)]
    keys = [s.key for s in in_turns(("x", "y"), tasks)]
    assert keys == [
        ("x", "a", 0),
        ("y", "a", 0),
        ("y", "b", 0),
        ("x", "b", 0),
        ("x", "a", 1),
        ("y", "a", 1),
        ("y", "b", 1),
        ("x", "b", 1),
    ]


def test_the_file_holds_improvements_up_to_the_budget(
    make_task: Callable[..., Task], tmp_path: Path
) -> None:
    path = tmp_path / "runs.csv"
    Runs(FACTS).joined(Setup("gridless", make_task()), TRACE).write(path)
    with path.open(newline="") as file:
        rows = [(r["spent"], r["value"], r["seconds"]) for r in csv.DictReader(file)]
    assert rows == [
        ("0.500000", "0.300000", "1.0"),
        ("1.000000", "0.500000", "2.0"),
        ("2.000000", "0.600000", "4.0"),
        ("2.500000", "0.900000", "5.0"),
        ("3.000000", "0.950000", "6.0"),
    ]
    beside = json.loads((tmp_path / "runs.best.json").read_text())
    assert beside["best"] == {"mlp-some": 0.95}
    assert beside["runs"] == [
        {
            "strategy": "gridless",
            "task": "mlp-some",
            "seed": 0,
            "n_workers": 1,
            "n_settings": 2,
            "spent": 3.0,
            "seconds": 6.0,
        }
    ]


def test_runs_are_added_to_and_others_are_refused(
    make_task: Callable[..., Task], tmp_path: Path
) -> None:
    path = tmp_path / "runs.csv"
    Runs(FACTS).joined(Setup("gridless", make_task()), TRACE).write(path)
    again = Runs.read(path, FACTS)
    assert again.keys == {("gridless", "mlp-some", 0)}
    again.joined(Setup("Optuna", make_task()), TRACE).write(path)
    assert Runs.read(path, FACTS).keys == {("gridless", "mlp-some", 0), ("Optuna", "mlp-some", 0)}
    with pytest.raises(InputError, match=r"budget was 3\.0, not 4\.0\); give another file"):
        Runs.read(path, FACTS | {"budget": 4.0})
    with pytest.raises(InputError, match="spaces was"):
        Runs.read(path, FACTS | {"spaces": {"mlp-some": "cd34"}})
    more = Runs.read(path, FACTS | {"spaces": {"other": "cd34"}})
    assert more.facts["spaces"] == {"mlp-some": "ab12", "other": "cd34"}
    path.write_text(path.read_text() + "\n\n")
    assert len(Runs.read(path, FACTS).keys) == 2
    (tmp_path / "runs.best.json").write_text("[]")
    with pytest.raises(InputError, match="holds other things"):
        Runs.read(path, FACTS)


def test_searches_that_fail_are_told_each_by_itself(make_task: Callable[..., Task]) -> None:
    setups = [Setup("unheard-of", make_task()), Setup("forgotten", make_task())]
    ended: list[Done] = []
    assert Searches(2).run(setups, ended.append)
    reasons = {d.setup.system: d.reason for d in ended}
    assert "KeyError: 'unheard-of'" in reasons["unheard-of"]
    assert "KeyError: 'forgotten'" in reasons["forgotten"]


def test_an_interrupt_leaves_no_process(make_task: Callable[..., Task]) -> None:
    def interrupt(_done: Done) -> None:
        raise KeyboardInterrupt

    # The second would train for hours.
    setups = [
        Setup("unheard-of", make_task()),
        Setup("Optuna", make_task(epochs=100_000, budget=100.0)),
    ]
    assert not Searches(2).run(setups, interrupt)
    assert [
        p for p in psutil.Process().children(recursive=True) if "search.lab.peers" in p.cmdline()
    ] == []
