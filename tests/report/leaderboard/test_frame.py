import csv
import math
from dataclasses import replace

import pandas as pd
import pytest
from rich.console import Console

from search.analysis.finalists import Finalist, Judgement
from search.analysis.statistics import mean_interval
from search.cli.views.leaderboard import leaderboard_table
from search.errors import InputError
from search.records import Bound, Search, State
from search.report.leaderboard.columns import FINALIST_COLUMNS
from search.report.leaderboard.frame import leaderboard, trial_frame, write_leaderboard
from search.report.study_report import write_report
from tests.report.conftest import trial

NAMES = [column.name for column in FINALIST_COLUMNS]

EXPECTED = """\
rank,study,model,data,trial,state,val_accuracy,best_epoch,epochs,train_s,n_params,objective,value,\
on_front,broken_bounds,param.optimizer,param.momentum,param.lr,param.units,\
test_accuracy_mean,test_accuracy_ci_low,test_accuracy_ci_high,n_replicates,tied_with_best,\
test_value_mean,test_value_ci_low,test_value_ci_high
1,mlp-digits,mlp,digits,3,RUNNING,0.9125,2,2,3.0,1003,accuracy,0.9125,,,adam,,0.02,32,,,,,,,,
2,mlp-digits,mlp,digits,0,COMPLETE,0.9,2,3,4.5,1000,accuracy,0.9,,,adam,,0.001,64,,,,,,,,
3,mlp-digits,mlp,digits,4,WAITING,0.9,1,1,1.5,1004,accuracy,0.9,,,adam,,0.001,64,,,,,,,,
4,mlp-digits,mlp,digits,2,PRUNED,0.30000000000000004,1,1,1.5,1002,accuracy,0.30000000000000004,,,sgd,0.9,1e-05,128,,,,,,,,
,mlp-digits,mlp,digits,5,RUNNING,,,0,0.0,1005,accuracy,,,,adam,,0.001,64,,,,,,,,
,mlp-digits,mlp,digits,1,FAIL,0.99,1,1,1.5,1001,accuracy,0.99,,,adam,,0.001,64,,,,,,,,
,mlp-digits,mlp,digits,6,FAIL,,,0,0.0,1006,accuracy,,,,adam,,0.001,64,,,,,,,,
"""


def test_the_csv_ranks_by_validation_accuracy_with_ties_in_order_and_failures_last(study, tmp_path):
    write_leaderboard(study, tmp_path / "new" / "leaderboard.csv")
    assert (tmp_path / "new" / "leaderboard.csv").read_bytes().decode() == EXPECTED
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["leaderboard.csv"]


def test_only_text_cells_are_escaped_against_formulas(hostile, tmp_path):
    write_leaderboard(hostile, tmp_path / "l.csv")
    with (tmp_path / "l.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [r["param.=cmd()"] for r in rows] == ["'=cmd()", "'-2+3", "'=cmd()"]
    assert [r["param.units"] for r in rows] == ["-64", "64", "-64"]
    assert rows[0]["model"] == "'@m"
    assert rows[1]["param.</script><script>alert(1)</script>"] == "<img src=x onerror=alert(1)>"


@pytest.mark.parametrize(
    ("start", "escaped"), [*((c, f"'{c}") for c in ("=", "+", "-", "@", "\t")), ("\r=", r"\r=")]
)
def test_every_formula_start_is_escaped(study, tmp_path, start, escaped):
    write_leaderboard(replace(study, name=f"{start}x"), tmp_path / "l.csv")
    with (tmp_path / "l.csv").open(encoding="utf-8", newline="") as file:
        assert {r["study"] for r in csv.DictReader(file)} == {f"{escaped}x"}


def test_parameters_that_the_space_does_not_name_come_last_and_numbers_stay_what_they_are(
    study, tmp_path
):
    rows = (
        trial(0, "COMPLETE", (0.5,), params={"z": 3, "a": 2.5, "lr": 1e-7, "flag": True}),
        trial(1, "COMPLETE", (0.4,), params={"a": -2, "lr": -0.1}),
    )
    write_leaderboard(replace(study, trials=rows), tmp_path / "l.csv")
    lines = (tmp_path / "l.csv").read_text(encoding="utf-8").splitlines()
    assert (
        "param.optimizer,param.momentum,param.lr,param.units,param.a,param.flag,param.z,test_accu"
        in lines[0]
    )
    assert lines[1].endswith(",,,1e-07,,2.5,True,3,,,,,,,,")
    assert lines[2].endswith(",,,-0.1,,-2,,,,,,,,,,")


def test_a_value_that_is_no_number_has_no_rank(study):
    rows = (trial(0, "PRUNED", (math.nan,)), trial(1, "PRUNED", (0.1,)))
    table = leaderboard(replace(study, trials=rows))
    assert table["trial"].tolist() == [1, 0]
    assert table["rank"].tolist() == [1, pd.NA]


def test_frames_keep_their_types_and_a_study_without_trials_still_has_its_columns(study):
    assert trial_frame(study)["trial"].tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert "rank" not in trial_frame(study)
    empty = leaderboard(replace(study, trials=()))
    assert list(empty.columns) == EXPECTED.splitlines()[0].split(",")
    assert empty.empty
    for name, dtype in zip(
        ("rank", *NAMES),
        ("Int64", *["float64"] * 3, "Int64", "boolean", *["float64"] * 3),
        strict=True,
    ):
        assert leaderboard(study)[name].dtype == empty[name].dtype == dtype


def test_finalists_show_what_they_reached_on_the_test_set_and_keep_their_rank(study, tmp_path):
    def finalist(number, values, tied):
        return Finalist(
            number,
            None,
            number == 0,
            False,
            0.9,
            mean_interval(values),
            values,
            3,
            0,
            None,
            None,
            tied,
        )

    rows = (
        finalist(3, (0.25, 0.5, 0.75), True),
        finalist(0, (0.875,), False),
        finalist(2, (0.5,), None),
    )
    judgement = Judgement(rows, None, 100, True, "")
    write_leaderboard(study, tmp_path / "l.csv", judgement)
    with (tmp_path / "l.csv").open(encoding="utf-8", newline="") as file:
        found = {
            r["trial"]: [r["rank"], *(r[name] for name in NAMES)] for r in csv.DictReader(file)
        }
    # t(0.975, 2) = 4.302653 · 0.25 / √3 is more than half, and no accuracy is below 0 or above 1.
    assert found["3"] == ["1", "0.5", "0.0", "1.0", "3", "True", "0.5", "0.0", "1.0"]
    assert found["0"] == ["2", "0.875", "", "", "1", "False", "0.875", "", ""]
    assert found["2"] == ["4", "0.5", "", "", "1", "", "0.5", "", ""]
    assert found["4"] == ["3", *[""] * 8]
    table = trial_frame(study, judgement)
    assert table["n_replicates"].tolist() == [1, pd.NA, 1, 3, pd.NA, pd.NA, pd.NA]
    assert table["tied_with_best"].tolist() == [False, pd.NA, pd.NA, True, pd.NA, pd.NA, pd.NA]


def test_a_folder_that_can_not_be_made_is_a_clear_error_and_the_old_file_stays(study, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="file can't be written"):
        write_report(Search(study), tmp_path / "file")
    (tmp_path / "leaderboard.csv").mkdir()
    with pytest.raises(InputError, match=r"can't be written.*GRIDLESS_HOME"):
        write_report(Search(study), tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "leaderboard.csv"]


def printed(study, top):
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        console.print(leaderboard_table(study, top=top))
    return capture.get()


def test_the_terminal_table_fits_80_columns_and_always_shows_the_documents_setting(study):
    text = printed(study, top=1)
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "lr=0.02 units=32" in text
    assert "3 running" in text
    assert "91.25" in text
    assert "*0 complete" in text
    assert "* the document's setting" in text
    assert "6 more in leaderboard.csv" in text
    assert "2 failed, see report.html" in text


def test_the_terminal_table_says_why_all_failed_alike_and_what_no_trial_keeps(study):
    reason = "objective own:cost failed: own.py:[13]: IndexError"
    failed = tuple(replace(t, state=State.FAIL, reason=reason) for t in study.trials)
    text = " ".join(printed(replace(study, trials=failed), top=10).split())
    assert f"{len(failed)} failed: {reason}" in text
    remedy = "which no trial keeps: raise it"
    for limit, is_said in ((1, True), (10**9, False)):
        bounds = (Bound("train_s", limit),)
        held = tuple(replace(t, bounds=bounds) for t in study.trials)
        text = " ".join(printed(replace(study, trials=held), top=10).split())
        assert (remedy in text) is is_said


def test_what_did_not_vary_is_below_the_terminal_table(study):
    pinned = tuple(replace(t, params={**t.params, "batch_size": 10}) for t in study.trials)
    text = printed(replace(study, trials=pinned), top=10)
    assert text.count("batch_size") == 1
    assert "did not vary: batch_size=10 momentum=0.9" in text


def test_the_terminal_table_prints_names_as_they_are(hostile, study):
    assert "=cmd()=-2+3" in printed(hostile, top=10)
    assert "Leaderboard of [red]x" in printed(replace(study, name="[red]x"), top=10)
    assert "Leaderboard of" in printed(replace(study, trials=()), top=10)
