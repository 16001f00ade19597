"""Tables as data sets: columns as numbers, what is to be predicted, how rows are split."""

import logging

import numpy as np
import pandas as pd
import pytest

from search import datasets
from search.datasets import table
from search.datasets.batch import read_batch
from search.datasets.options import Options, options_of
from search.datasets.samples import write_samples
from search.datasets.split import prepare
from search.errors import InputError
from search.records import Task
from search.report.read_evidence import read_evidence

N = 120
FRAME = pd.DataFrame(
    {
        "age": np.arange(N) % 70,
        "weight": np.linspace(40, 90, N),
        "smokes": np.arange(N) % 2 == 0,
        "city": np.array(["Oslo", "Rome", "Graz"])[np.arange(N) % 3],
        "kind": np.array(["b", "a"])[np.arange(N) % 2],
    }
)


def made(frame=FRAME, label="kind", **options):
    return table.from_frame("own", frame, Options(label, **options))


def test_columns_become_numbers_and_texts_columns_of_0_and_1():
    data = made()
    assert (data.input_shape, data.class_names, data.task) == (
        (6,),
        ("a", "b"),
        Task.CLASSIFICATION,
    )
    assert (len(data.x_train), len(data.x_test)) == (100, 20)
    rows = np.concatenate([data.x_train, data.x_test])
    rows = rows[np.argsort(rows[:, 1])]
    np.testing.assert_allclose(rows[:, :2], FRAME[["age", "weight"]], rtol=1e-6)
    np.testing.assert_array_equal(rows[:, 2], FRAME["smokes"])
    np.testing.assert_array_equal(rows[:, 3:], pd.get_dummies(FRAME["city"]))  # Graz, Oslo, Rome
    assert np.bincount(data.y_test).tolist() == [10, 10]
    categories = made(FRAME.astype({"city": "category", "kind": "category"}))
    assert categories.digest == data.digest


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet", ";.csv"])
def test_files_of_each_kind_hold_the_same(ending, tmp_path):
    path = tmp_path / f"people{ending}"
    if ending == ".parquet":
        FRAME.to_parquet(path)
    else:
        FRAME.to_csv(path, sep={".tsv": "\t", ";.csv": ";"}.get(ending, ","), index=False)
    data = datasets.load(f"{path}#kind")
    assert data.digest == made().digest
    assert datasets.load(str(path), label="kind").digest == data.digest
    name = datasets.with_options(str(path), Options("city", task=Task.CLASSIFICATION))
    assert datasets.load(datasets.data_source(name)).class_names == ("Graz", "Oslo", "Rome")
    assert datasets.data_name(name) == datasets.data_name(str(path))


def test_what_is_to_be_predicted_says_the_task(caplog):
    caplog.set_level(logging.INFO)
    assert made(label="weight").task is Task.REGRESSION
    age = made(label="age")
    assert (age.task, age.y_train.dtype, age.class_names) == (Task.REGRESSION, np.float32, ("age",))
    assert "age: it holds 70 whole numbers, more than 20, so the task is regression" in caplog.text
    assert made(FRAME.assign(age=FRAME["age"] // 10), label="age").class_names == tuple("0123456")
    assert made(label="smokes").class_names == ("False", "True")
    bits = FRAME.assign(old=FRAME["age"] > 35)
    several = made(bits, label="smokes,old")
    assert (several.task, several.class_names) == (Task.MULTILABEL, ("smokes", "old"))
    pair = made(label="age, weight")
    assert (pair.task, pair.y_train.shape) == (Task.REGRESSION, (100, 2))
    assert (
        made(FRAME.assign(age=FRAME["age"] % 5), label="age", task=Task.REGRESSION).n_classes == 1
    )


def test_a_column_says_which_rows_test(caplog):
    parts = np.array(["train", "Test", "validation"])[np.r_[np.zeros(100, int), [1] * 12, [2] * 8]]
    frame = FRAME.assign(split=parts)
    frame.loc[100, "city"] = "Bern"
    data = made(frame)
    assert [len(y) for y in (data.y_train, data.y_test, data.y_val)] == [100, 12, 8]
    assert data.input_shape == (6,)
    assert data.x_test[0, 3:].tolist() == [0, 0, 0]
    assert "texts that no training row has count as none: city = Bern" in caplog.text
    assert not made(frame[parts == "train"]).has_test
    assert made(FRAME.assign(split="lengthwise")).input_shape == (7,)  # a column as all others


def test_groups_stay_together_and_the_latest_rows_test():
    person = np.arange(N) // 7
    data = made(FRAME.assign(person=person), group="person")
    ages = FRAME["weight"].to_numpy(np.float32)
    where = [set(person[np.isin(ages, x[:, 1])]) for x in (data.x_train, data.x_val, data.x_test)]
    assert sum(map(len, where)) == len(set(person)) == len(set.union(*where))
    assert 14 <= len(data.x_test) <= 26
    day = pd.date_range("2024-01-31", periods=N)[::-1].strftime("%Y-%m-%d")
    late = made(FRAME.assign(day=day), time="day")
    np.testing.assert_allclose(late.x_test[:, 1], ages[:20])  # they stand in the file's order
    np.testing.assert_allclose(late.x_val[:, 1], ages[20:37])
    assert late.input_shape == (6,)


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({}, {"label": None}, "which column is to be predicted\\? give --label NAME, one of age"),
        ({}, {"label": "kin"}, "--label: there is no column 'kin'; did you mean 'kind'"),
        ({}, {"group": "towns"}, "--group: there is no column 'towns'"),
        ({}, {"group": "smokes"}, "--group: smokes has 2 groups"),
        ({}, {"group": "age", "time": "weight"}, "in one way only, not by --group and by --time"),
        ({}, {"time": "city"}, "--time: city holds neither numbers nor dates"),
        (
            {"age": [None] * 3 + [1.0] * (N - 3), "city": ["x", None] * (N // 2)},
            {},
            r"of 120 rows, values are missing in age \(3\), city \(60\); fill them in",
        ),
        ({"day": pd.date_range("2024", periods=N)}, {}, "own: day: dates can't be used; .*--time"),
        ({"day": ["31/12/2024"] * N, "at": ["2024-01-31 10:20"] * N}, {}, "own: day, at: dates"),
        (
            {"age": [np.inf] + [1.0] * (N - 1)},
            {},
            "age: infinite numbers, and what float32 makes so, can't",
        ),
        ({"name": [f"n{i}" for i in range(N)]}, {}, "name: of 120 texts 120 differ, too many"),
        ({"list": [[1]] * N}, {}, "list: values must be numbers, texts or truth values, not list"),
        ({"kind": ["a"] * 118 + ["b"] * 2}, {}, r"at least 3 rows, .*with fewer: b \(2\)"),
        (
            {},
            {"label": "city,age"},
            "--label: several columns must be numbers, but city holds texts",
        ),
        (
            {},
            {"task": Task.REGRESSION},
            "--label: the task regression must be numbers, but kind holds texts",
        ),
        (
            {},
            {"label": "weight", "task": Task.CLASSIFICATION},
            "texts or whole numbers, not the floats of weight; .* give --task regression",
        ),
    ],
)
def test_what_cannot_be_used_is_named_by_column(changes, options, message):
    with pytest.raises(InputError, match=message):
        made(FRAME.assign(**changes), **options)


def test_all_that_is_wrong_with_a_table_comes_at_once():
    frame = FRAME.assign(age=[None, *range(N - 1)], day=pd.date_range("2024", periods=N))
    frame.insert(0, "city", frame["city"], allow_duplicates=True)
    with pytest.raises(InputError) as refused:
        made(frame, label="kin", group="smokes", time="when")
    doubled, label, time, missing, dates, group = refused.value.problems
    assert "several are city" in doubled
    assert "--label: there is no column 'kin'; did you mean 'kind'" in label
    assert "--time: there is no column 'when'" in time
    assert "values are missing in age (1)" in missing
    assert "day: dates" in dates
    assert "--group: smokes has 2 groups" in group


@pytest.mark.parametrize("start", ["\n", "  \r\n\n", "\ufeff\n"])
def test_blank_lines_before_the_names_of_columns_change_nothing(start, tmp_path):
    path = tmp_path / "own.csv"
    path.write_text(start + FRAME.to_csv(sep=";", index=False), newline="")
    assert datasets.load(f"{path}#kind").digest == made().digest


def test_a_table_of_one_row_is_too_short():
    with pytest.raises(InputError, match="it has 1 of the 3 rows that a table needs at least"):
        made(FRAME.head(1))


def test_columns_of_one_name_are_refused_in_any_file(tmp_path):
    """Pandas would rename the second one, and a label would be among the examples' numbers."""
    path = tmp_path / "own.csv"
    rows = "".join(f"{i},{i % 2},{i % 2}\n" for i in range(30))
    path.write_text(f"\nage, kind,kind\n{rows}")
    columns = {"age": None, "kind": None}
    for read in (
        lambda: datasets.load(f"{path}#kind"),
        lambda: read_batch([str(path)], (2,), np.float32, columns),
    ):
        with pytest.raises(InputError, match="names of their own, but several are kind"):
            read()
    path.write_text(f"age,kind,kind.1\n{rows}")
    assert datasets.load(f"{path}#kind").columns == {"age": None, "kind.1": None}


def test_a_text_file_in_another_encoding_is_told_how_to_be_saved(tmp_path):
    path = tmp_path / "own.csv"
    path.write_bytes("city,kind\nKöln,1\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"own.csv: not a readable table .*; save it as UTF-8"):
        datasets.load(f"{path}#kind")


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2,3\n4", b"\xff\xfe\x00", b"a,b\n"])
def test_files_that_are_no_tables(content, tmp_path):
    for kind in ("csv", "parquet"):
        path = tmp_path / f"own.{kind}"
        path.write_bytes(content)
        with pytest.raises(InputError, match=f"own.{kind}: "):
            datasets.load(f"{path}#a")


def test_another_table_is_read_as_the_study_s_was(tmp_path):
    data = made()
    prepared = prepare(data, seed=0, validation_fraction=0.2, cache=tmp_path)
    write_samples(prepared, tmp_path / "samples.npz")
    columns = read_evidence(tmp_path, None).samples.columns
    new = FRAME[["city", "weight", "smokes", "age"]].head(60).replace({"city": {"Graz": "Bern"}})
    path = tmp_path / "new.csv"
    new.to_csv(path, index=False)
    batch = read_batch([str(path)], data.input_shape, np.float32, columns)
    assert batch.names[59] == f"{path}[59]"
    np.testing.assert_allclose(batch.pixels[:, 1], FRAME["weight"][:60], rtol=1e-6)
    np.testing.assert_array_equal(batch.pixels[:, 3:].sum(axis=1), FRAME["city"][:60] != "Graz")
    assert batch.notices((6,)) == ["city = Bern: no training row has this: taken as none"]
    new.drop(columns="age").assign(weight="heavy").to_csv(path)
    with pytest.raises(InputError) as refused:
        read_batch([str(path)], data.input_shape, np.float32, columns)
    lacking, texts = str(refused.value).splitlines()
    assert "it lacks columns that the study's table has: age" in lacking
    assert "weight: the study's table has numbers there, not texts" in texts


def test_options_are_read_back_whatever_columns_are_called():
    options = Options("price/m2 & tax", "a=b", "day#1", Task.REGRESSION)
    assert options_of(options.text) == options
    assert options_of("price/m2") == Options("price/m2")
    assert datasets.data_source("fashion") == "fashion"
    with pytest.raises(InputError, match="#labl: is not known; did you mean 'label'"):
        options_of("labl=a")
    with pytest.raises(InputError, match="are for tables and arrays alone"):
        datasets.with_options("digits", options)
