import math
from pathlib import Path

import numpy as np
import pytest

from search.errors import InputError
from search.lab.report.comparison import strategies_report
from search.lab.report.reach import reaches
from search.lab.report.reading import read_runs
from search.lab.report.regret import mean_over_tasks, regrets

RUNS = """strategy,task,seed,n_workers,spent,value
random,a,0,1,1.000000,0.500000
random,a,0,1,5.000000,0.600000
random,a,1,1,1.000000,0.500000
random,a,1,1,9.000000,0.800000
random,b,0,1,1.000000,0.100000
random,b,0,1,8.000000,0.300000
random,b,1,1,1.000000,0.200000
random,b,1,1,2.000000,0.300000
ours,a,0,1,1.000000,0.600000
ours,a,0,1,4.000000,0.900000
ours,a,1,1,1.000000,0.700000
ours,b,0,1,0.500000,0.200000
ours,b,0,1,3.000000,0.400000
ours,b,1,1,1.000000,0.100000
ours,b,1,1,10.000000,0.300000
"""


def write(
    folder: Path,
    text: str = RUNS,
    best: str | None = '{"budget": 10, "best": {"a": 1.0, "b": 0.35}}',
) -> Path:
    path = folder / "runs.csv"
    path.write_text(text)
    if best is not None:
        (folder / "runs.best.json").write_text(best)
    return path


def test_regret_is_in_units_of_random_searchs_at_the_end(tmp_path: Path) -> None:
    runs = read_runs(write(tmp_path))
    assert runs.best == {"a": 1.0, "b": 0.4}  # of b, a run found more than was known
    group = regrets(runs, runs.runs, 1)
    ours, random = group.standings
    assert (ours.strategy, random.strategy, group.tasks, group.n_seeds) == (
        "ours",
        "random",
        ("a", "b"),
        (2, 2),
    )
    # a: random's regret at the end is the mean of 0.4 and 0.2, b: 0.1 and 0.1.
    half_a, half_b = ((0.1 + 0.3) / 2) / 0.3, ((0.0 + 0.3) / 2) / 0.1
    assert ours.at_parts[3].mean == pytest.approx((half_a + half_b) / 2)
    end_a, end_b = ((0.1 + 0.3) / 2) / 0.3, ((0.0 + 0.1) / 2) / 0.1
    assert ours.at_parts[-1].mean == pytest.approx((end_a + end_b) / 2)
    assert random.at_parts[-1].mean == pytest.approx(1.0)
    # Ranks at the end: a: ours 1, random 2; ours 2, random 1. b: ours 1, random 2; a tie of 1.5.
    assert (ours.rank, random.rank) == (pytest.approx(5.5 / 4), pytest.approx(6.5 / 4))


def test_the_interval_draws_seeds_anew_within_each_task() -> None:
    # Seeds differ in the first task only: its mean is 1, 2 or 3 with chances 1/4, 1/2 and 1/4; the
    # other's is 4.
    mean, low, high = mean_over_tasks([np.array([[1.0, 3.0]]), np.array([[4.0, 4.0]])])
    assert (mean[0], low[0], high[0]) == (3.0, 2.5, 3.5)
    assert np.isnan(mean_over_tasks([np.array([[1.0]])])[1][0])


def test_a_strategy_is_compared_only_on_tasks_that_all_ran(tmp_path: Path) -> None:
    runs = read_runs(
        write(
            tmp_path, "\n".join(line for line in RUNS.splitlines() if not line.startswith("ours,b"))
        )
    )
    group = regrets(runs, runs.runs, 1)
    assert (group.tasks, group.left_out) == (("a",), ("b",))


def test_the_report_is_a_table_and_a_page_beside_the_runs(tmp_path: Path) -> None:
    path = write(tmp_path, RUNS + "<b>x</b>,a,0,8,1.0,0.5\n")
    paths = strategies_report(path)
    assert paths == (tmp_path / "runs.md", tmp_path / "runs.html")
    table = paths.markdown.read_text()
    assert "## 1 worker\n" in table
    assert "## 8 workers\n" in table
    assert "| ours |" in table.replace("  ", " ")
    assert "can be normalised without runs of 'random'" in table  # with 8 workers there are none
    page = paths.page.read_text()
    assert "&lt;b&gt;x&lt;/b&gt;" in page
    assert "<b>x</b>" not in page


def test_compute_to_the_same_accuracy(tmp_path: Path) -> None:
    runs = """strategy,task,seed,n_workers,spent,value,seconds
gridless,a,0,1,1.000000,0.500000,10.0
gridless,a,0,1,2.000000,0.800000,20.0
gridless,a,1,1,1.000000,0.700000,10.0
other,a,0,1,4.000000,0.800000,9.0
other,a,1,1,1.000000,0.600000,9.0
other,a,1,1,2.000000,0.750000,9.5
lone,a,0,1,3.000000,0.700000,9.5
"""
    totals = ", ".join(
        f'{{"strategy": "{name}", "task": "a", "seed": {seed}, "spent": {spent}, "seconds": 90,'
        ' "n_settings": 7}'
        for name, seed, spent in (
            ("gridless", 0, 10),
            ("gridless", 1, 10),
            ("other", 0, 8),
            ("other", 1, 10),
        )
    )
    beside = (
        f'{{"budget": 10, "best": {{"a": 0.8}}, "runs": [{totals}], "made_on": "a <machine>",'
        ' "n_validation": 100}'
    )
    path = write(tmp_path, runs, beside)
    simulated = read_runs(path)
    other, lone = reaches(simulated, simulated.runs)
    # Seed 0: at 2 of 8, and of the 4 after which the other was there. Seed 1: never.
    assert (other.n, other.n_reached, other.final) == (2, 1, pytest.approx(0.775))
    assert (other.of_all.mean, other.of_first.mean) == (math.inf, math.inf)
    assert math.isnan(other.of_all.low)  # fewer than six runs have no interval
    # What it spent in all is not known, so that the budget stands in.
    assert (lone.n, lone.of_all.mean) == (1, 0.2)
    paths = strategies_report(path)
    table = paths.markdown.read_text()
    assert "| gridless | 75.00 % | – | – | – | – | 1 min 30 s | 7 |" in table
    assert "| other | 77.50 % | 75.00 % | never | never | 1 of 2 | 1 min 30 s | 7 |" in table
    assert "| lone | 70.00 % | 80.00 % | 0.20 | 0.67 | 1 of 1 | – | – |" in table
    assert "one standard error of a single one is 4.33 points" in table
    assert "a &lt;machine&gt;" in paths.page.read_text()
    assert "nothing was trained" not in paths.page.read_text()


def test_the_interval_of_a_median_holds_what_never_came(tmp_path: Path) -> None:
    lines = ["strategy,task,seed,n_workers,spent,value"]
    for seed in range(8):
        lines += [
            f"default,a,{seed},1,{seed + 1},{0.5 if seed < 6 else 0.4}",
            f"tpe,a,{seed},1,5,0.5",
        ]
    runs = read_runs(write(tmp_path, "\n".join(lines), '{"budget": 10, "best": {"a": 0.8}}'))
    (tpe,) = reaches(runs, runs.runs)
    # Of 0.1, 0.2, … 0.6, never, never.
    assert tpe.of_all.mean == pytest.approx(0.45)
    assert tpe.of_all.low == pytest.approx(0.2)
    assert tpe.of_all.high == math.inf


def test_without_what_is_known_beside_the_runs_the_best_and_the_most_spent_of_the_file_stand_in(
    tmp_path: Path,
) -> None:
    runs = read_runs(write(tmp_path, best=None))
    assert runs.best == {"a": 0.9, "b": 0.4}
    assert (runs.budget, runs.is_budget_known) == (10.0, False)
    assert "not recorded" in strategies_report(tmp_path / "runs.csv").markdown.read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("strategy,task\nrandom,a\n", "lacks the columns seed, n_workers, spent, value"),
        (RUNS.splitlines()[0] + "\n", "holds no runs"),
        (RUNS + "ours,a,2,1,1.0,1.5\n", "value must be from 0 to 1"),
        (RUNS + "ours,a,2,1,x,0.5\n", "holds what is no number"),
        (RUNS + "ours,a,0,1,2.0,0.95\n", "ours on a, seed 0"),
    ],
)
def test_a_file_that_holds_no_runs_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_runs(write(tmp_path, text))


def test_a_damaged_file_beside_the_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"runs\.best\.json can't be read"):
        read_runs(write(tmp_path, best="[]"))


def test_where_random_search_ends_at_the_best_the_report_says_so(tmp_path: Path) -> None:
    head = RUNS.splitlines()[0]
    path = write(
        tmp_path,
        f"{head}\nrandom,a,0,1,1.0,0.5\nours,a,0,1,1.0,0.4\n",
        best='{"budget": 1, "best": {}}',
    )
    table = strategies_report(path).markdown.read_text()
    assert "'random' ends with the best value known of every task" in table
    assert "add them to the file" not in table
