"""`gridless import` says what came in, what did not and why, and by its exit code whether anything did."""

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from search.cli.importing import import_
from search.errors import InputError
from search.places import home, storage_url
from search.report import report_study
from search.study.reading import read_study
from search.study.storage import LedgerStorage

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
    assert (first.return_value, first.stdout) == (0, "old: 1 trials from csv came in, 1 do not fit\n")
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
        (("--model", "mlp", "--data", "digits", "--rename", "a=widht"), ("'a=widht'", "'units'|width|known")),
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
