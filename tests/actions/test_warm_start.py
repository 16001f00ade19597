"""`--warm-start`: a new study begins with what earlier ones found to be good."""

import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa

from search.actions.warm_start import warmed
from search.errors import InputError
from search.study.storage.ledger import Ledger
from search.study.storage.optuna_storage import LedgerStorage
from tests.kept import ME
from tests.study.helpers import begin, spec

GOOD = {"optimizer": "adam", "lr": 0.01, "units": 16}
"""What `begin` tries."""


@pytest.fixture
def storage(empty_sqlite: Path, tmp_path: Path) -> LedgerStorage:
    found = LedgerStorage(f"sqlite:///{shutil.copy(empty_sqlite, tmp_path)}")
    for name, model in (("old", "mlp"), ("other", "lenet5")):
        ledger = Ledger.open(found, spec(name=name, model=model, n_trials=1, first=()), {})
        ledger.complete(begin(ledger, ME, [0.7]), 0.7)
    return found


@pytest.mark.parametrize("how", ["auto", "old"])
def test_the_best_earlier_setting_comes_after_the_documents_own(
    storage: LedgerStorage, how: str
) -> None:
    asked = spec(name="new", warm_start=how)
    assert warmed(asked, None, storage).first == (*asked.first, GOOD)
    assert warmed(spec(name="new"), None, storage).first == asked.first


def test_a_study_goes_on_with_the_points_that_it_began_with(storage: LedgerStorage) -> None:
    begun = spec(
        name="new",
        warm_start="auto",
        first=(*spec().first, {"optimizer": "adam", "lr": 0.5, "units": 8}),
    )
    assert (
        warmed(spec(name="new", warm_start="auto", n_trials=9), begun, storage).first == begun.first
    )


def test_a_damaged_study_is_passed_over(storage: LedgerStorage) -> None:
    Ledger.open(storage, spec(name="damaged", first=()), {})
    with storage.session() as session:
        session.execute(
            sa.text(
                "UPDATE study_user_attributes SET value_json = '[]' WHERE key = 'spec' AND study_id"
                " = :i"
            ),
            {"i": storage.get_study_id_from_name("damaged")},
        )
    assert warmed(spec(name="new", warm_start="auto"), None, storage).first[-1] == GOOD


def test_a_study_that_is_not_there_or_has_nothing_to_give_is_a_wrong_input(
    storage: LedgerStorage,
) -> None:
    with pytest.raises(InputError, match="'odl' is not in the storage"):
        warmed(spec(name="new", warm_start="odl"), None, storage)
    with pytest.raises(InputError, match="--warm-start: study 'old' has no setting"):
        warmed(spec(name="new", warm_start="old", first=(GOOD,)), None, storage)
