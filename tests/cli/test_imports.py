"""`gridless import` says what came in, what did not and why, and by its exit code whether anything
did.
"""

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from search.cli.imports import import_
from search.errors import InputError
from search.paths import home, storage_url
from search.report.study_report import report_study
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.read import read_study

HEAD = "val_accuracy,param.depth,param.units,param.optimizer,param.lr\n"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Two trials, one of which has a value that the space of `mlp` does not."""
    file = tmp_path / "old.csv"
    file.write_text(f"{HEAD}0.9,2,64,adam,0.01\n0.8,9,64,adam,0.01\n")
    return file


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(import_, arguments, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result


def test_what_fits_comes_in_once_and_the_rest_is_listed(table: Path) -> None:
    first = run(str(table), "--into", "old", "--model", "mlp", "--data", "digits")
    assert (first.return_value, first.stdout) == (
        0,
        "old: 1 trial from csv came in, 1 does not fit\n",
    )
    assert "row 2 of" in first.stderr
    assert "depth: 9 is out of range" in first.stderr
    assert "batch_size=10" in first.stderr  # the document's, since the table has none
    again = run(str(table), "--into", "old", "--json")
    assert json.loads(again.stdout)["n_known"] == 1
    with (home() / "old" / "import-rejected.csv").open(newline="") as file:
        assert [(r["source"], r["row"]) for r in csv.DictReader(file)] == [(str(table), "2")]
    (trial,) = read_study(LedgerStorage(storage_url()), "old").trials
    assert (trial.val_accuracy, trial.params["units"], trial.params["epochs"]) == (0.9, 64, 15)


def test_the_study_can_be_reported(table: Path) -> None:
    run(str(table), "--into", "old", "--model", "mlp", "--data", "digits")
    paths = report_study(LedgerStorage(storage_url()), "old", home() / "old").paths
    with paths.leaderboard.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["rank"], row["state"], row["val_accuracy"]) == ("1", "COMPLETE", "0.9")


def test_nothing_that_fits_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text(f"{HEAD}2.5,2,64,adam,0.01\n")
    result = run(str(tmp_path / "bad.csv"), "--into", "old", "--model", "mlp", "--data", "digits")
    assert result.return_value == 1
    assert "no accuracy" in result.stderr


@pytest.mark.parametrize(
    ("more", "parts"),
    [
        ((), ("--model", "--data")),
        (("--model", "mpl", "--data", "digits"), ("'mlp'",)),
        (
            ("--model", "mlp", "--data", "digits", "--rename", "depth=widht"),
            ("'depth=widht'", "'units'|width|known"),
        ),
        (
            ("--model", "mlp", "--data", "digits", "--rename", "witdh=units"),
            ("no trial of", "'witdh'", "known: "),
        ),
        (("--model", "mlp", "--data", "digits", "--study", "s"), ("--study",)),
    ],
)
def test_wrong_input_is_told_before_anything_is_stored(
    table: Path, more: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    with pytest.raises(InputError) as error:
        run(str(table), "--into", "old", *more)
    assert all(any(p in str(error.value) for p in part.split("|")) for part in parts)
    assert not (home() / "old").exists()


def test_the_grid_of_the_documents_program_comes_in_whole(tmp_path: Path) -> None:
    """As `pandas.DataFrame(models.cv_results_).to_csv` wrote it years ago: classes, and the
    training scores, too.
    """
    head = "mean_fit_time,std_fit_time,mean_score_time,mean_test_score,mean_train_score,param_activation,"
    head += "param_batch_size,param_dropout_rate,param_epochs,param_initializer,param_learning_rate,param_num_unit,"
    head += "param_optimizer,params,rank_test_score\n"
    line = (
        "9.5,0.1,0.2,{},0.9,{},500,{},15,lecun_uniform,0.1,{},<class"
        " 'keras.optimizers.SGD'>,\"{{}}\",1\n"
    )
    rows = [
        (0.86, "relu", 0, 500),
        (0.85, "relu", 0.1, 1000),
        (0.5, "sigmoid", 0, 1000),
        (0.87, "relu", 0, 3000),
    ]
    (tmp_path / "results.csv").write_text(head + "".join(line.format(*row) for row in rows))
    found = run(
        str(tmp_path / "results.csv"), "--into", "old", "--model", "mlp", "--data", "fashion"
    )
    assert found.stdout == "old: 3 trials from cv_results_ came in, 1 does not fit\n"
    assert "row 4 of" in found.stderr
    assert "num_unit: 3000 is out of range" in found.stderr
    first, second, _ = read_study(LedgerStorage(storage_url()), "old").trials
    assert (first.params["optimizer"], first.params["units"], first.params["dropout"]) == (
        "sgd",
        500,
        0,
    )
    assert (second.val_accuracy, second.train_s) == (0.85, 9.5)
