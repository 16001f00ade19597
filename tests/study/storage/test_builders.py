"""Pickled builders in the storage: kept with their study, and run by nobody who did not agree."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search.errors import InputError, StudyError
from search.paths import cache
from search.pickled import Pickled, source_of
from search.study.resume import check_goes_on
from search.study.storage.builders import fetch_builder, store_builder, stored_builder
from search.study.storage.ledger import Ledger
from search.study.storage.optuna_storage import LedgerStorage
from tests.study.helpers import spec

PYTHON = ".".join(map(str, sys.version_info[:2]))
ONE = Pickled("build", {"build": "def build(hp): 1"}, PYTHON, b"\x80\x04K\x01.")
TWO = Pickled("build", {"build": "def build(hp): 2"}, PYTHON, b"\x80\x04K\x02.")


@pytest.fixture
def storage(open_storage: Callable[[], LedgerStorage]) -> LedgerStorage:
    return open_storage()


def made(storage: LedgerStorage, builder: Pickled, **changes: Any) -> Ledger:
    ledger = Ledger.open(storage, spec(model=builder.model, name="mine", **changes), {})
    store_builder(storage, "mine", builder)
    return ledger


def test_a_builder_is_read_by_who_agrees_to_run_it(storage: LedgerStorage) -> None:
    ledger = made(storage, ONE)
    with pytest.raises(StudyError, match=r"pickled code of whoever made .*--allow-pickled"):
        fetch_builder(storage, ledger.spec, is_allowed=False)
    assert not (cache() / "builders").exists()
    final = ledger.spec.model_copy(update={"name": "mine.final"})
    fetch_builder(storage, final, is_allowed=True)
    assert source_of(ONE.model) == 1
    assert stored_builder(storage, "mine") == ONE
    assert stored_builder(storage, "yours") is None


def test_the_own_builder_is_not_replaced_by_the_stored_one(storage: LedgerStorage) -> None:
    forged = Pickled(ONE.name, ONE.texts, PYTHON, TWO.content)
    ledger = made(storage, forged)
    ONE.keep()
    fetch_builder(storage, ledger.spec, is_allowed=True)
    [file] = (cache() / "builders").iterdir()
    assert file.read_bytes() == ONE.content


def test_a_study_whose_builder_is_not_there_is_refused(storage: LedgerStorage) -> None:
    ledger = Ledger.open(storage, spec(model=TWO.model, name="mine"), {})
    with pytest.raises(StudyError, match="is not on this machine"):
        fetch_builder(storage, ledger.spec, is_allowed=True)
    fetch_builder(storage, spec(model="mlp"), is_allowed=False)


def test_another_source_goes_on_only_where_it_may(storage: LedgerStorage) -> None:
    code = [{"build": builder.model[8:20]} for builder in (ONE, TWO)]
    then, now = (
        spec(model=builder.model, code=code) for builder, code in zip((ONE, TWO), code, strict=True)
    )
    with pytest.raises(InputError, match=r"changed: build.*allow_changes=True") as caught:
        check_goes_on(then, now)
    assert len(caught.value.problems) == 1
    check_goes_on(then, now, other_code=True)
    with pytest.raises(InputError, match="model: the study has"):
        check_goes_on(then, spec(model="mlp", code=None), other_code=True)


def test_reading_a_study_does_not_read_its_builder(storage: LedgerStorage, tmp_path: Path) -> None:
    made(storage, ONE)
    row = storage.read_study("mine")
    assert row
    assert "texts" not in str(row[1])
