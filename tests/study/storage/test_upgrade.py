"""Databases of older versions, carried over."""

import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy as sa
from alembic import command
from optuna.storages import RDBStorage

from search.errors import InputError
from search.study.storage.ledger import Ledger
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.upgrade import upgrade
from tests.study.helpers import spec

OLD = "v3.0.0.c"


def old_spec(**changes: Any) -> dict[str, Any]:
    """As the first version of Gridless stored it: without the keys that came later."""
    stored = spec(name="old").model_dump(mode="json") | changes
    return {k: v for k, v in stored.items() if k not in {"precision", "replicates"}}


def make(url: str, revision: str | None = OLD) -> None:
    """A database with an old schema, a study of the first version, one that is beyond us and one of
    somebody else.
    """
    storage = RDBStorage(url)
    for name, attrs in {
        "old": old_spec(),
        "beyond": old_spec(colour="red"),
        "foreign": None,
    }.items():
        study = optuna.create_study(storage=storage, study_name=name, direction="maximize")
        study.set_user_attr("note" if attrs is None else "spec", attrs)
        study.add_trial(optuna.trial.create_trial(value=0.5, user_attrs={"n": 1}))
    storage.remove_session()
    if revision:
        config = storage._version_manager._create_alembic_config()
        with (
            storage.engine.begin() as connection
        ):  # the last migration's index has another name in new databases
            connection.execute(sa.text("DROP INDEX ix_trials_study_id"))
        command.stamp(config, "v3.0.0.d")
        command.downgrade(config, revision)
    storage.engine.dispose()


def query(url: str, text: str) -> list[Any]:
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        found = connection.execute(sa.text(text)).all()
    engine.dispose()
    return [tuple(row) for row in found]


def copies(url: str) -> list[Path]:
    path = Path(url.removeprefix("sqlite:///"))
    return sorted(p for p in path.parent.glob("studies.*.db")) if path.parent.is_dir() else []


def test_an_old_database_is_refused_until_it_is_upgraded_and_then_goes_on(storage_url: str) -> None:
    make(storage_url)
    with pytest.raises(InputError, match="another version of Optuna"):
        LedgerStorage(storage_url)
    before = query(storage_url, "SELECT value_json FROM study_user_attributes WHERE study_id = 2")
    with ThreadPoolExecutor(2) as pool:  # two people have read the same advice
        said = [line for lines in pool.map(upgrade, [storage_url] * 2) for line in lines]
    assert sum(f"upgraded from {OLD} to" in line for line in said) == 1
    assert [line for line in said if "'old'" in line] == ["study 'old': carried over (spec, uid)"]
    assert (
        sum("'beyond' can't be carried over and is untouched: colour" in line for line in said) == 2
    )
    assert not any("foreign" in line for line in said)

    assert (
        query(storage_url, "SELECT value_json FROM study_user_attributes WHERE study_id = 2")
        == before
    )
    storage = LedgerStorage(storage_url)
    ledger = Ledger(storage, "old")
    assert ledger.spec == spec(name="old")
    assert len(ledger.uid) == 32
    assert [t.value for t in optuna.load_study(study_name="foreign", storage=storage).trials] == [
        0.5
    ]
    storage.remove_session()
    storage.engine.dispose()


def test_a_database_that_is_up_to_date_is_left_as_it_is(storage_url: str) -> None:
    make(storage_url)
    upgrade(storage_url)
    kept = (
        copies(storage_url),
        query(storage_url, "SELECT * FROM study_user_attributes ORDER BY 1"),
    )
    assert "is up to date" in upgrade(storage_url)[0]
    assert (
        copies(storage_url),
        query(storage_url, "SELECT * FROM study_user_attributes ORDER BY 1"),
    ) == kept


def test_an_sqlite_file_is_copied_as_it_was_and_named_even_when_the_upgrade_fails(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    make(url)
    with sqlite3.connect(tmp_path / "studies.db") as connection:  # in the way of the last migration
        connection.execute("CREATE INDEX trials_study_id_key ON trials (study_id)")
    with pytest.raises(InputError, match="already exists") as caught:
        upgrade(url)
    [copy] = copies(url)
    assert str(copy) in str(caught.value)
    assert query(f"sqlite:///{copy}", "SELECT version_num FROM alembic_version") == [(OLD,)]
    [(stored,)] = query(
        f"sqlite:///{copy}", "SELECT value_json FROM study_user_attributes WHERE study_id = 1"
    )
    assert json.loads(stored) == old_spec()


def test_an_upgrade_that_fails_on_postgresql_changes_nothing(storage_url: str) -> None:
    if storage_url.startswith("sqlite"):
        pytest.skip("changes of its schema are not transactions")
    make(storage_url)
    engine = sa.create_engine(storage_url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE INDEX trials_study_id_key ON trials (study_id)"))
        columns = {c["name"] for c in sa.inspect(connection).get_columns("trial_values")}
    with pytest.raises(InputError, match="already exists"):
        upgrade(storage_url)
    assert query(storage_url, "SELECT version_num FROM alembic_version") == [(OLD,)]
    assert {c["name"] for c in sa.inspect(engine).get_columns("trial_values")} == columns
    engine.dispose()


def test_what_is_no_database_of_ours_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        upgrade(f"sqlite:///{tmp_path / 'none.db'}")
    assert not list(tmp_path.iterdir())
    (tmp_path / "text.db").write_text("not a database at all, and longer than a header " * 30)
    with pytest.raises(InputError, match="not a database"):
        upgrade(f"sqlite:///{tmp_path / 'text.db'}")
    sqlite3.connect(tmp_path / "empty.db").execute("CREATE TABLE other (a)").connection.close()
    assert upgrade(f"sqlite:///{tmp_path / 'empty.db'}") == [
        "the database holds no studies: nothing to upgrade"
    ]
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    make(url, None)
    with sqlite3.connect(tmp_path / "studies.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v9.0.0.a'")
    with pytest.raises(InputError, match=r"newer version \(schema v9\.0\.0\.a"):
        upgrade(url)
    assert not copies(url)
