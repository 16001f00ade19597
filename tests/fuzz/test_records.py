"""What programs wrote: archives, and the trials of others."""

import hashlib
import io
import json
import tarfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from search.actions.importing.command import NO_SPACE
from search.actions.importing.rows import fit, unknown_to
from search.actions.importing.sources import read_past
from search.records import Search
from search.report.study_report import write_report
from search.space.from_kerastuner import space_of
from search.study.storage.archive import read_archive
from tests.fuzz.helpers import TREES, attempt, changed, damaged, dumped, fuzz, written
from tests.study.helpers import SPACE, epoch, spec


def row(number: int) -> dict[str, Any]:
    attrs: dict[str, Any] = {f"epoch:{s}": vars(epoch(s, 0.1 * s)) for s in (1, 2)}
    attrs |= {
        "n_params": 5,
        "environments": ["e"],
        "peak_host_mb": 3.0,
        "reason": "why",
        "log_tail": "t",
    }
    attrs |= {
        "evaluation": {"split": "test", "accuracy": 0.5, "loss": 1.0, "n": 7},
        "total_epochs": 9,
        "seed": 1,
    }
    times = {"started": "2026-01-02T00:00:00+00:00", "ended": "2026-01-02T00:01:00+00:00"}
    params = {"optimizer": "adam", "lr": 0.1, "units": 8 + number}
    return {"number": number, "state": "COMPLETE", "params": params, "user_attrs": attrs} | times


HEAD = {
    "schema": "gridless.study/1",
    "study": "s",
    "attrs": {
        "spec": spec().model_dump(mode="json"),
        "environment": {"python": "3"},
        "environment:e": {"python": "4"},
    },
}
MANIFEST = {"schema": "gridless.archive/1"}


def packed(rows: list[Any], manifest: Any = MANIFEST) -> bytes:
    record = b"".join(json.dumps(r).encode() + b"\n" for r in rows)
    if isinstance(manifest, dict) and "sha256" not in manifest:
        manifest = manifest | {"sha256": {"s/record.jsonl": hashlib.sha256(record).hexdigest()}}
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name, content in (
            ("s/record.jsonl", record),
            ("s/manifest.json", json.dumps(manifest).encode()),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


def check_archive(content: bytes) -> None:
    path = written(content, "s.tar.gz")
    for study in (attempt(lambda: read_archive(path)) or {}).values():
        attempt(lambda: write_report(Search(study), path.parent / "out"))  # noqa: B023


@fuzz
@given(
    damaged(packed([HEAD, row(0), row(1)]))
    | changed(MANIFEST | {"sha256": {}}).map(lambda m: packed([HEAD], m))
)
def test_archive(content: bytes) -> None:
    check_archive(content)


@fuzz
@given(changed([HEAD, row(0), row(1)]))
def test_archive_of_other_records(rows: Any) -> None:
    check_archive(packed(rows if isinstance(rows, list) else [rows]))


def check_past(path: Path) -> None:
    past = attempt(lambda: read_past(str(path), None))
    if past:
        with suppress(*NO_SPACE):
            attempt(lambda: space_of("own:build", past.hyperparameters, compiles=False))
        assumed = unknown_to(past, SPACE, {})
        for trial in past.trials:
            fit(trial, SPACE, assumed=assumed, renamed={})


CV = {
    "mean_test_score": [0.5, 0.6],
    "param_units": [8, 9],
    "params": [{"units": 8}, {"units": 9}],
    "mean_fit_time": [1.0, 2.0],
}
LEADERBOARD = b"""rank,study,trial,state,val_accuracy,train_s,param.units,param.lr
1,s,0,COMPLETE,0.5,3,16,0.1
2,s,1,FAIL,,,,
"""


@fuzz
@given(damaged(dumped(CV)) | changed(CV).map(dumped) | TREES.map(dumped))
@example(b"[" * 100_000)
@example(b'[{"mean_test_score": 0.5, "param_units": ' + b"9" * 5000 + b"}]")
def test_import_of_json(content: bytes) -> None:
    check_past(written(content, "cv.json"))


@fuzz
@given(damaged(LEADERBOARD) | st.text().map(lambda t: t.encode(errors="surrogatepass")))
@example(LEADERBOARD.replace(b"16", b"9" * 5000))
def test_import_of_csv(content: bytes) -> None:
    check_past(written(content, "old.csv"))


UNITS = {
    "name": "units",
    "min_value": 1,
    "max_value": 9,
    "step": 1,
    "sampling": "linear",
    "default": 1,
    "conditions": [],
}
ORACLE = {
    "hyperparameters": {"space": [{"class_name": "Int", "config": UNITS}], "values": {"units": 1}}
}
TRIAL = {
    "trial_id": "0",
    "hyperparameters": {"space": [], "values": {"units": 16, "lr": 0.1}},
    "metrics": {
        "metrics": {
            "val_accuracy": {"direction": "max", "observations": [{"value": [0.5], "step": 1}]}
        },
    },
    "status": "COMPLETED",
    "message": None,
}


@fuzz
@given(changed(ORACLE), changed(TRIAL) | st.just(TRIAL))
def test_import_of_a_tuners_project(oracle: Any, trial: Any) -> None:
    path = written(dumped(oracle), "oracle.json")
    (path.parent / "trial_0").mkdir()
    (path.parent / "trial_0" / "trial.json").write_bytes(dumped(trial))
    check_past(path.parent)


KIND = {"name": "IntDistribution", "attributes": {"log": False, "step": 1, "low": 8, "high": 256}}
JOURNAL = [
    row | {"worker_id": "w"}
    for row in (
        {"op_code": 0, "study_name": "s", "directions": [2]},
        {"op_code": 4, "study_id": 0, "datetime_start": "2026-01-01T00:00:00.000000"},
        {"op_code": 5, "trial_id": 0, "param_name": "units", "param_value_internal": 16.0}
        | {"distribution": json.dumps(KIND)},
        {"op_code": 7, "trial_id": 0, "step": 1, "intermediate_value": 0.5},
        {
            "op_code": 6,
            "trial_id": 0,
            "state": 1,
            "values": [0.5],
            "datetime_complete": "2026-01-01T00:01:00.000000",
        },
    )
]


def journal(rows: Any) -> bytes:
    return b"".join(dumped(r) + b"\n" for r in (rows if isinstance(rows, list) else [rows]))


@fuzz
@given(changed(JOURNAL).map(journal) | damaged(journal(JOURNAL)))
@example(journal([{"op_code": 99, "worker_id": "w"}]))
def test_import_of_optunas_journal(content: bytes) -> None:
    check_past(written(content, "old.log"))


@fuzz
@given(data=st.data())
def test_import_of_optunas_database(data: st.DataObject, empty_sqlite: Path) -> None:
    check_past(written(data.draw(damaged(empty_sqlite.read_bytes())), "old.db"))
