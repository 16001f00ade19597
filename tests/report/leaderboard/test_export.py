"""The leaderboard in each format: the same rows, columns, types and values, and all of it
documented.
"""

import json
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from search.analysis.finalists import Finalist, Judgement
from search.analysis.statistics import mean_interval
from search.errors import InputError
from search.objectives import objective_of
from search.report.leaderboard.export import SCHEMA, write_export
from search.report.leaderboard.frame import leaderboard
from tests.report.conftest import trial

DOCS = Path(__file__).resolve().parents[3] / "docs" / "leaderboard.md"
MIXED = {"lr": 0.5, "flag": True, "text": "=1+1", "size": "small", "units": -3}


@pytest.fixture
def judgement():
    """Trial 3 trained again three times, the document's setting once."""
    common = {"n_wanted": 3, "n_failed": 0, "optimism": None, "is_extra": False}
    best = Finalist(
        3,
        1,
        False,
        search_value=0.9125,
        interval=mean_interval([0.9, 0.85, 0.8]),
        values=(0.9, 0.85, 0.8),
        **common,
    )
    own = Finalist(
        0, 2, True, search_value=0.9, interval=mean_interval([0.7]), values=(0.7,), **common
    )
    return Judgement((replace(best, tied_with_best=True), own), None, 10, True, "")


@pytest.fixture
def mixed(study):
    """Parameters of every kind, and one whose values are of several."""
    other = {"lr": 1, "flag": False, "text": 'é, "x"\n', "size": 4}
    rows = (
        trial(0, "COMPLETE", (0.5,), params=MIXED),
        trial(3, "FAIL", params=other),
        *study.trials[5:7],
    )
    return replace(study, trials=rows, spec={})


def as_csv(study, judgement, folder):
    """What pandas makes of the CSV, told no types."""
    return pd.read_csv(write_export(study, judgement, folder, "csv"))


INTEGERS = ["rank", "trial", "best_epoch", "epochs", "n_params", "param.units", "n_replicates"]
NUMBERS = [
    "val_accuracy",
    "value",
    "train_s",
    "param.lr",
    "test_accuracy_mean",
    "test_accuracy_ci_low",
    "test_accuracy_ci_high",
    "test_value_mean",
    "test_value_ci_low",
    "test_value_ci_high",
]
TEXTS = [
    "study",
    "model",
    "data",
    "state",
    "objective",
    "broken_bounds",
    "param.size",
    "param.text",
    "param.optimizer",
]
TYPES = (
    dict.fromkeys(INTEGERS, "int64")
    | dict.fromkeys(NUMBERS, "double")
    | dict.fromkeys(TEXTS, "string")
)
TYPES |= dict.fromkeys(["param.flag", "tied_with_best", "on_front"], "bool")


def test_parquet_has_a_type_per_column_and_the_values_of_the_csv(mixed, judgement, tmp_path):
    path = write_export(mixed, judgement, tmp_path, "parquet")
    types = {field.name: str(field.type).removeprefix("large_") for field in pq.read_schema(path)}
    assert types == TYPES
    found = pd.read_parquet(path)
    assert found.attrs == {"schema": SCHEMA, "study": "mlp-digits"}
    assert same(found, as_csv(mixed, judgement, tmp_path))


def test_json_says_its_schema_and_types_and_has_the_values_of_the_csv(mixed, judgement, tmp_path):
    content = json.loads(
        write_export(mixed, judgement, tmp_path, "json").read_text(encoding="utf-8")
    )
    assert content["schema"] == "gridless.leaderboard/1"
    assert content["study"] == "mlp-digits"
    assert content["columns"]["rank"] == content["columns"]["param.units"] == "integer"
    assert content["columns"]["param.lr"] == content["columns"]["test_accuracy_mean"] == "number"
    assert content["columns"]["tied_with_best"] == content["columns"]["param.flag"] == "boolean"
    assert content["columns"]["param.size"] == content["columns"]["state"] == "string"
    assert content["rows"][0]["param.text"] == "=1+1"
    assert {type(row["param.flag"]) for row in content["rows"]} == {bool, type(None)}
    table = pd.DataFrame(content["rows"])
    assert list(table.columns) == list(content["columns"])
    assert same(table, as_csv(mixed, judgement, tmp_path))


def same(table: pd.DataFrame, csv: pd.DataFrame) -> bool:
    """Whether both have the same columns and cells; text as a spreadsheet sees it, without its
    apostrophe.
    """
    assert list(table.columns) == list(csv.columns)
    for name in csv.columns:
        for ours, theirs in zip(table[name], csv[name], strict=True):
            if pd.isna(ours) or pd.isna(theirs):
                assert pd.isna(ours), (name, ours, theirs)
                assert pd.isna(theirs), (name, ours, theirs)
            else:
                plain = theirs.removeprefix("'") if isinstance(theirs, str) else theirs
                assert (ours == plain) or str(ours) == str(plain), (name, ours, theirs)
    return True


def test_finalists_fill_their_columns_and_others_leave_them_blank(study, judgement, tmp_path):
    rows = json.loads(write_export(study, judgement, tmp_path, "json").read_text(encoding="utf-8"))[
        "rows"
    ]
    by_trial = {row["trial"]: row for row in rows}
    assert by_trial[3]["test_accuracy_mean"] == pytest.approx(0.85)
    assert by_trial[3]["test_accuracy_ci_low"] < 0.85 < by_trial[3]["test_accuracy_ci_high"]
    assert (by_trial[3]["n_replicates"], by_trial[0]["n_replicates"]) == (3, 1)
    assert by_trial[3]["tied_with_best"] is True
    assert by_trial[0]["test_accuracy_ci_low"] is None
    assert by_trial[2]["n_replicates"] is None


@pytest.mark.parametrize("format_", ["csv", "parquet", "json"])
def test_a_study_without_trials_and_one_of_hostile_names_can_be_written(
    study, hostile, tmp_path, format_
):
    for record in (replace(study, trials=()), hostile):
        assert write_export(record, None, tmp_path / "new", format_).stat().st_size > 0
    assert [p.name for p in (tmp_path / "new").iterdir()] == [f"leaderboard.{format_}"]


def test_another_format_and_a_folder_that_can_not_be_written_are_clear_errors(study, tmp_path):
    with pytest.raises(InputError, match=r"'parket' is not known; did you mean 'parquet'"):
        write_export(study, None, tmp_path, "parket")
    (tmp_path / "file").write_text("")
    for format_ in ("csv", "parquet", "json"):
        with pytest.raises(InputError, match="can't be written"):
            write_export(study, None, tmp_path / "file", format_)


def test_the_documentation_names_every_column_and_no_other(study, judgement):
    documented = re.findall(
        r"^\| `([^`]+)` \| (\w+)", DOCS.read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    losses = (objective_of("val_loss"),)
    trials = tuple(replace(trial, others=losses) for trial in study.trials)
    several = replace(study, trials=trials, others=losses)
    again = replace(judgement, rows=tuple(replace(r, others=(None,)) for r in judgement.rows))
    columns = [re.sub(r"\..*", ".<name>", name) for name in leaderboard(several, again)]
    assert [name for name, _ in documented] == list(dict.fromkeys(columns))
    assert SCHEMA in DOCS.read_text(encoding="utf-8")
