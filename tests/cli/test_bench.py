"""`gridless bench` and `gridless compare`, on the digits."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from search.analysis.statistics import mean_interval
from search.records import StudyRecord, TrialRecord
from search.study.suite import stored_suite
from tests.cli.helpers import gridless, study
from tests.report.comparison.columns import SUITE_COLUMNS

SUITE = """
seeds: 2
systems:
  - model: mlp
    data: digits
    setting: {depth: 1, units: 32, batch_size: 100, schedule: plateau}
    epochs: 2
  - {model: convNN_1, data: digits, setting: {units: 40}, epochs: 1, note: a convolution}
"""
SEARCHES = """
seeds: 2
search: {n_trials: 2, epochs: 1, finalists: 1}
systems: [{model: mlp, data: digits, setting: [{depth: 1}, {depth: 2}]}]
"""


def record(home: Path, name: str) -> StudyRecord:
    found = study(home, name)
    assert found is not None, name
    return found


def curves(trials: tuple[TrialRecord, ...]) -> list[Any]:
    return [(t.number, t.seed, t.evaluation, t.curve) for t in trials]


def table(home: Path) -> list[dict[str, str]]:
    with (home / "own" / "comparison.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def agrees(row: dict[str, str], replicates: StudyRecord) -> bool:
    """Whether a row of the table says what the storage does, to the last digit."""
    accuracies = [t.evaluation.accuracy for t in replicates.trials if t.evaluation]
    known = mean_interval(accuracies)
    texts = (row["accuracy_mean"], row["accuracy_ci_low"], row["accuracy_ci_high"])
    assert [float(t) if t else None for t in texts] == [known.mean, known.low, known.high]
    assert int(row["n_params"]) == replicates.trials[0].n_params
    seconds = sorted(e.seconds for t in replicates.trials for e in t.curve)
    assert seconds[0] <= float(row["seconds_per_epoch"]) <= seconds[-1]
    return int(row["n_replicates"]) == len(accuracies) == len(replicates.trials)


def test_a_suite_runs_to_a_comparison_and_again_and_further(
    own_home: Path, tmp_path: Path, command: Any, pretending: None
) -> None:
    """Its third replicate is pretended: what is there is neither trained again nor changed."""
    file = tmp_path / "own.yaml"
    file.write_text(SUITE)
    quick = ("--workers", "1", "--no-mlflow")
    done = gridless("bench", str(file), *quick)
    assert done.returncode == 0, done.stderr
    assert str(own_home / "own" / "comparison.csv") in done.stdout.replace("\n", "")
    mlp_study, conv_study = (s.study for s in stored_suite(own_home / "own").systems)
    assert f"{conv_study}.final: 2 of 2 done" in done.stderr
    [first] = record(own_home, mlp_study).trials
    mlp, conv = (
        record(own_home, f"{mlp_study}.final").trials,
        record(own_home, f"{conv_study}.final").trials,
    )
    assert (
        study(own_home, conv_study) is None
    )  # its recipe watches nothing, so it needs no first training
    assert first.evaluation is None
    for trials, n_epochs in ((mlp, 2), (conv, 1)):
        assert [(t.state, t.epochs) for t in trials] == [("COMPLETE", n_epochs)] * 2
        assert {(t.evaluation.split, t.evaluation.n) for t in trials if t.evaluation} == {
            ("test", 360)
        }
        assert len({t.seed for t in (*trials, first)}) == 3
    assert [[e.values["lr"] for e in t.curve] for t in mlp] == [
        [e.values["lr"] for e in first.curve]
    ] * 2
    rows = table(own_home)
    assert list(rows[0]) == SUITE_COLUMNS
    assert [(r["suite"], r["data"], r["split"], r["epochs"], r["note"]) for r in rows] == [
        ("own", "digits", "test", "2", ""),
        ("own", "digits", "test", "1", "a convolution"),
    ]
    assert [r["published"] for r in rows] == ["", ""]  # no document has figures for the digits
    assert agrees(rows[0], record(own_home, f"{mlp_study}.final"))
    assert agrees(rows[1], record(own_home, f"{conv_study}.final"))

    more = ("--seeds", "3", "--only", "convNN_1", "--json", "--quiet")
    code, out, err = command("bench", str(file), *quick, *more)
    assert (code, err) == (0, "")
    assert json.loads(out)["csv"] == str(own_home / "own" / "comparison.csv")
    assert curves(record(own_home, f"{mlp_study}.final").trials) == curves(mlp)
    again = record(own_home, f"{conv_study}.final").trials
    assert (len(again), curves(again[:2])) == (3, curves(conv))
    assert [r["n_replicates"] for r in table(own_home)] == ["2", "3"]
    assert table(own_home)[0] == rows[0]

    before = (own_home / "own" / "comparison.csv").read_text()
    (own_home / "own" / "comparison.csv").unlink()
    code, out, _ = command("compare", "own")
    assert code == 0
    assert "convNN_1" in out
    assert (own_home / "own" / "comparison.csv").read_text() == before


def test_searches_of_a_suite_are_reported_one_by_one_and_compared(
    own_home: Path, tmp_path: Path, command: Any, pretending: None
) -> None:
    (tmp_path / "own.yaml").write_text(SEARCHES)
    code, out, err = command("bench", str(tmp_path / "own.yaml"), "--workers", "1", "--no-mlflow")
    assert (code, "own: studies compared" in out) == (0, True), err
    cost = "the best setting, and the baseline for its 15 epochs: 2 fresh seeds each"
    assert f"search    mlp (depth=1) on digits: 2 trials, up to 1 epoch each; {cost}" in err
    names = [s.study for s in stored_suite(own_home / "own").systems]
    assert names
    assert all((own_home / name / "report.html").is_file() for name in names)
    rows = table(own_home)
    assert [(r["study"], r["n_replicates"], r["n_trials"]) for r in rows] == [
        (n, "2", "2") for n in names
    ]
    means = {n: record(own_home, f"{n}.final").trials for n in names}
    found = {
        n: mean_interval([t.evaluation.accuracy for t in trials if t.evaluation])
        for n, trials in means.items()
    }
    assert {r["study"]: float(r["test_accuracy_mean"]) for r in rows} == {
        n: i.mean for n, i in found.items()
    }

    code, out, _ = command("compare", *names, "--json")
    told = json.loads(out)
    assert told["csv"] == str(own_home / "comparisons" / "+".join(sorted(names)) / "comparison.csv")
    assert {r["study"]: r["test_accuracy_mean"] for r in told["rows"]} == {
        n: i.mean for n, i in found.items()
    }
    assert all(Path(told[k]).exists() for k in ("csv", "markdown", "latex", "page", "figures"))
    code, out, _ = command("compare", "own", names[0], "--out", str(tmp_path / "paper"))
    assert code == 0
    assert {p.name for p in (tmp_path / "paper").iterdir()} >= {"comparison.tex", "figures"}

    code, _, err = command("compare", names[0], "gone", f"{names[1]}.final")
    assert code == 2
    assert "study 'gone' is not in the storage" in err
    assert f"holds the finalists of '{names[1]}'" in err
    assert command("compare", names[0])[0] == 2


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (
            "seeds: 0\nsystms: 3\nsystems:\n  - {model: mlp, data: digits, settings: {}}\n",
            ("seeds = 0", "systms: is not a key", "did you mean 'setting'?"),
        ),
        ("systems: []", ("systems = []: give at least one",)),
        (
            (
                "systems:\n  - {model: [mpl, mlp], data: [digits, gone.npz], setting: {lr: -1,"
                " unitz: 3}}\n"
            ),
            (
                "did you mean 'mlp'?",
                "lr: must be above 0, not -1",
                "did you mean 'units'?",
                "gone.npz: no such file",
            ),
        ),
    ],
)
def test_all_mistakes_of_a_suite_are_told_with_exit_code_2_and_nothing_is_stored(
    own_home: Path, tmp_path: Path, command: Any, text: str, parts: tuple[str, ...]
) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(text)
    code, out, err = command("bench", str(file), "--quiet")
    assert (code, out) == (2, "")
    assert all(part in err for part in parts), err
    assert all(line.startswith("error: ") for line in err.splitlines())
    assert not (own_home / "own").exists()
    assert not (own_home / "studies.db").exists()


def test_a_suite_that_does_not_exist_or_was_never_run(command: Any, own_home: Path) -> None:
    code, _, err = command("bench", "documnets", "--workers", "none")
    assert code == 2
    assert "did you mean 'documents'?" in err
    assert "--workers" in err or "WORKERS" in err
    assert command("bench", "gone/own.yaml")[0] == 2
    (own_home / "mine").mkdir(parents=True)
    (own_home / "mine" / "suite.yaml").write_text("name: mine\nsystems: []\n")
    code, _, err = command("compare", "documents")
    assert code == 2
    assert "known: mine" in err
    assert "gridless bench" in err
