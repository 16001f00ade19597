"""What links to MLflow's pages are made of."""

import pytest

from search.tracking.mlflow.pages import experiment_of, page_address
from tests.study.helpers import begin
from tests.tracking.helpers import ME, client, mirrored, runs


def test_a_studys_experiment_and_its_best_trials_are_found_in_the_store(ledger, storage, uri):
    for accuracy in (0.2, 0.4):
        ledger.complete(begin(ledger, ME, [accuracy]), accuracy)
    assert mirrored(storage).error is None
    best = [runs(uri)[name].info.run_id for name in ("trial-0001", "trial-0000")]
    experiment = client(uri).get_experiment_by_name("mlp-digits").experiment_id
    assert experiment_of(uri, "mlp-digits")[:2] == (experiment, best)
    assert experiment_of(uri, "mlp-digits", n=1)[:2] == (experiment, best[:1])
    assert experiment_of(uri, "Default") is None
    assert experiment_of(uri, "none") is None


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("http://user:a/b@c@host:5000/mlflow/", "***"),
        ("https://user:secret@host:5000/mlflow/", "https://host:5000/mlflow"),
        ("https://token@host", "https://host"),
        ("http://user:secret@[oops", "http://[oops"),
        ("http://host/?token=secret", "http://host/?token=***"),
        ("databricks", "databricks"),
    ],
)
def test_links_have_no_account(uri, address):
    assert address in page_address(uri)
    assert not any(part in page_address(uri) for part in ("user:secret", "token@", "b@c"))
