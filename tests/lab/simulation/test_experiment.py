import csv
import json
from pathlib import Path

import pytest

from search.errors import InputError, StudyError
from search.lab.runs_file import COLUMNS, write_runs
from search.lab.simulation.experiment import Experiment, run_experiment
from search.lab.simulation.request import Request, check
from tests.lab.simulation.helpers import Toy

COUNTS = {"seeds": "2", "workers": "1", "samples": "0", "jobs": "1"}


class Failing(Toy):
    def curve(self, task, params):
        raise ValueError("no such curve")


@pytest.mark.slow
def test_the_same_command_writes_the_same_file_in_one_process_or_two(tmp_path: Path) -> None:
    experiment = Experiment(Toy(), ("random", "halving"), ("hill",), 1, 2, 1.0, n_samples=5)
    calls: list[int] = []
    for jobs in (1, 2):
        results = run_experiment(experiment, jobs=jobs, done=lambda: calls.append(1))
        beside = {"budget": 1.0, "best": results.best}
        write_runs(tmp_path / f"{jobs}.csv", COLUMNS, results.rows, beside)
    assert (tmp_path / "1.csv").read_bytes() == (tmp_path / "2.csv").read_bytes()
    assert len(calls) == 2 * (2 + 1)
    with (tmp_path / "1.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["strategy", "task", "seed", "n_workers", "spent", "value"]
    assert len(rows) == len(results.rows)
    assert {r["strategy"] for r in rows} == {"random", "halving"}
    assert all(float(r["spent"]) <= 1.0 for r in rows)
    beside = json.loads((tmp_path / "1.best.json").read_text())
    assert beside == {"budget": 1.0, "best": {"hill": 1.0}}


def test_an_interrupt_keeps_what_is_done() -> None:
    def interrupt() -> None:
        if (n_done := next(done)) == 2:
            raise KeyboardInterrupt
        assert n_done < 2

    done = iter(range(9))
    experiment = Experiment(Toy(), ("random",), ("hill",), 3, 1, 1.0)
    results = run_experiment(experiment, jobs=1, done=interrupt)
    assert not results.is_whole
    assert [r.setup.seed for r in results.runs] == [0, 1]


def test_a_run_that_fails_is_named() -> None:
    experiment = Experiment(Failing(), ("random",), ("hill",), 1, 1, 1.0)
    with pytest.raises(
        StudyError, match="random on hill with seed 0 failed: ValueError: no such curve"
    ):
        run_experiment(experiment, jobs=1, done=lambda: None)


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"")
    request = Request(
        tmp_path,
        None,
        "7593",
        "radnom,tpe",
        tmp_path / "runs.txt",
        "0",
        "1",
        COUNTS | {"seeds": "0", "jobs": "x"},
    )
    with pytest.raises(InputError) as raised:
        check(request)
    problems = "\n".join(raised.value.problems)
    for part in (
        "--seeds: '0'",
        "--jobs: 'x'",
        "--budget: '0'",
        "--lose: '1'",
        "did you mean 'random'?",
        "lacks config_space.json, encoding.json",
        "runs.txt does not end in .csv",
    ):
        assert part in problems
    assert len(raised.value.problems) == 7


def test_a_surrogate_and_a_study_exclude_each_other(tmp_path: Path) -> None:
    request = Request(None, None, "all", "all", tmp_path / "runs.csv", "1", "0", COUNTS)
    with pytest.raises(InputError, match="either --surrogate DIR or --replay STUDY"):
        check(request)
