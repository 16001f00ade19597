"""The public Python API: what docs/api.md shows works, and says all that there is."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import search
from search.errors import InputError
from search.report.leaderboard.frame import write_leaderboard
from search.study.storage.archive import write_archive
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.read import read_study, stored_studies
from tests.kept import ME, keep
from tests.study.helpers import begin
from tests.training.test_inference import grey, save

DOCS = (Path(__file__).resolve().parents[1] / "docs" / "api.md").read_text(encoding="utf-8")


@pytest.fixture
def storage(empty_sqlite: Path, own_home: Path) -> LedgerStorage:
    own_home.mkdir()
    (own_home / "studies.db").write_bytes(empty_sqlite.read_bytes())
    return LedgerStorage(f"sqlite:///{own_home / 'studies.db'}")


def test_every_example_of_the_documentation_runs(
    storage: LedgerStorage, own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(storage, own_home, "mlp-digits", n_replicates=2)
    save(own_home / "mlp-digits" / "model.keras")
    write_archive(storage, stored_studies(storage, "mlp-digits"), tmp_path / "mlp-digits.tar.gz")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    blocks = re.findall(r"^```python\n(.*?)^```", DOCS, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 6
    for block in blocks:
        exec(block, names)
    study, archived = names["study"], names["archived"]
    assert isinstance(study, search.Study)
    assert isinstance(archived, search.Study)
    pd.testing.assert_frame_equal(archived.curves, study.curves)
    with pytest.raises(InputError, match=r"unpack mlp-digits/model\.keras"):
        archived.model()


def test_the_documentation_names_the_whole_surface_and_no_more() -> None:
    rows = re.findall(r"^\| (`study\..*?) \|", DOCS, flags=re.MULTILINE)
    named = set(re.findall(r"study\.(\w+)", " ".join(rows)))
    assert named == {name for name in dir(search.Study) if not name.startswith("_")}
    assert all(name in DOCS for name in search.__all__)
    assert "load_study" in dir(search)
    with pytest.raises(AttributeError):
        _ = search.load_studies


def test_frames_hold_what_was_stored(storage: LedgerStorage, own_home: Path) -> None:
    ledger = keep(storage, own_home, n_trials=4, n_replicates=2)
    ledger.fail(begin(ledger, ME), "boom")
    ledger.give_back(begin(ledger, ME, [0.3]), paused=True)
    study = search.load_study("mine")
    assert (study.name, study.best) == ("mine", {"optimizer": "adam", "lr": 0.01, "units": 16})
    assert study.spec["n_trials"] == 4
    assert dict(study.environment) == {"python": "3.11"}
    assert study.trials["trial"].tolist() == [0, 1, 2, 3]
    assert study.leaderboard["trial"].tolist() == [1, 0, 3, 2]
    assert study.curves.columns.tolist() == re.findall(r"`(\w+)`", curves_row())
    assert study.curves[["trial", "step"]].to_numpy().tolist() == [
        [0, 1],
        [0, 2],
        [1, 1],
        [1, 2],
        [3, 1],
    ]
    assert study.curves["val_accuracy"].tolist() == [0.5, 0.7, 0.6, 0.9, 0.3]
    assert str(study.curves["at"].dt.tz) == "UTC"
    best, document = study.finalists.to_dict("records")
    assert (best["trial"], best["rank"], best["is_document"], best["n_replicates"]) == (
        1,
        1,
        False,
        2,
    )
    assert best["test_accuracy_mean"] == pytest.approx(5 / 6)
    assert best["optimism"] == pytest.approx(0.9 - 5 / 6)
    assert (document["trial"], document["is_document"], document["val_accuracy"]) == (0, True, 0.7)
    assert study.finalists.dtypes["tied_with_best"] == "boolean"
    assert study.finalists["p_value"].notna().tolist() == [False, True]
    file = study.export(own_home / "out")
    write_leaderboard(read_study(storage, "mine"), own_home / "plain.csv")
    assert len(file.read_text().splitlines()) == len(
        (own_home / "plain.csv").read_text().splitlines()
    )
    assert pd.read_csv(file)["test_accuracy_mean"].notna().sum() == 2


def curves_row() -> str:
    [row] = re.findall(r"^\| `study\.curves` \|.*?: (.*) \|$", DOCS, flags=re.MULTILINE)
    return str(row)


def test_a_study_shows_itself_predicts_and_is_drawn(storage: LedgerStorage, own_home: Path) -> None:
    keep(storage, own_home, n_replicates=2)
    save(own_home / "mine" / "model.keras")
    study = search.load_study("mine")
    assert study.best_params == study.best
    assert "<p>mine: 2 trials for accuracy</p><table" in study._repr_html_()
    images = grey(10, 120, 250)
    assert study.predict(images).argmax(axis=1).tolist() == [0, 1, 2]
    np.testing.assert_array_equal(study.predict(images[..., 0]), study.predict(images))
    with pytest.raises(InputError, match=r"x: must be of shape \(n, .*\), not \(3, 1\)"):
        study.predict(np.zeros((3, 1)))
    assert study.figure("curves").data
    for name, panel, message in (
        ("curve", 0, "did you mean 'curves'"),
        ("curves", 9, "curves has .* from 0; not 9"),
    ):
        with pytest.raises(InputError, match=message):
            study.figure(name, panel)


def test_studies_are_compared_as_by_the_command(storage: LedgerStorage, own_home: Path) -> None:
    keep(storage, own_home, "a", n_replicates=2)
    keep(storage, own_home, "b", n_replicates=2)
    study = search.load_study("a")
    frame = study.compare(["b"])
    assert set(frame["study"]) == {"a", "b"}
    pd.testing.assert_frame_equal(frame, study.compare([search.load_study("b")]))
    assert (own_home / "comparisons" / "a+b").is_dir()


def test_a_study_without_its_builder_can_not_go_on_here(
    storage: LedgerStorage, own_home: Path
) -> None:
    keep(storage, own_home, model="pickled.0123456789ab:build")
    study = search.load_study("mine")
    assert study.wait().name == "mine"
    with pytest.raises(InputError) as caught:
        study.resume(n_trials=0)
    told = "\n".join(caught.value.problems)
    assert "n_trials = 0 must be at least 1" in told
    assert "is not on this machine: give it here, too" in told


def test_a_study_without_finalists_or_trials_has_frames_all_the_same(
    storage: LedgerStorage, own_home: Path
) -> None:
    keep(storage, own_home, "old", finalists=0)
    old = search.load_study("old")
    assert old.finalists.empty
    assert old.finalists.columns.tolist()[:3] == ["trial", "rank", "is_document"]
    assert old.leaderboard["test_accuracy_mean"].isna().all()
    with pytest.raises(InputError, match=r"has no network yet.*--finalists 1"):
        old.model()


def test_studies_are_listed_without_what_belongs_to_them(
    storage: LedgerStorage, own_home: Path
) -> None:
    assert search.list_studies() == []
    keep(storage, own_home, "b")
    keep(storage, own_home, "a", finalists=0)
    storage.create_study("foreign", {})
    assert search.list_studies() == ["b", "a"]
    for name, message in (
        ("c", "known: a, b"),
        ("b.final", "give b"),
        ("../b", "letters"),
        ("foreign", "not made by"),
    ):
        with pytest.raises(InputError, match=message):
            search.load_study(name)


def test_without_a_storage_nothing_is_made(own_home: Path) -> None:
    for ask in (search.list_studies, lambda: search.load_study("a")):
        with pytest.raises(InputError, match="there are no studies yet"):
            ask()
    assert not own_home.exists()


def test_importing_it_loads_nothing() -> None:
    heavy = "{'keras', 'tensorflow', 'optuna', 'pandas', 'numpy', 'sqlalchemy', 'plotly', 'mlflow'}"
    code = f"import sys, search; sys.exit(', '.join({heavy} & set(sys.modules)) or None)"
    subprocess.run([sys.executable, "-c", code], check=True)
