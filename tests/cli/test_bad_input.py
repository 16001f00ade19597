"""Whatever a person gets wrong: exit code 2, every mistake named, no traceback, nothing stored
changed.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from search.study.storage.ledger import Ledger, WorkerIdentity
from search.study.storage.optuna_storage import LedgerStorage
from search.worker.segment import crash_reason
from search.worker.trial.sandbox import CrashedError
from tests.kept import keep
from tests.study.helpers import begin, spec

SECRET = "s3cr3t-w0rd"


@pytest.fixture
def fails(command, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Run, insist on exit code 2, and return what was said."""

    def check(*arguments: str, storage: str | None = None) -> str:
        if storage:
            monkeypatch.setenv("GRIDLESS_STORAGE", storage)
        code, _, err = command(*arguments)
        assert code == 2, err
        return err

    return check


def test_all_mistakes_are_told_at_once_with_the_nearest_right_name(fails) -> None:  # type: ignore[no-untyped-def]
    err = fails(
        "study",
        "convN_8",
        "fashon",
        "--n-trials",
        "-3",
        "--epochs",
        "x",
        "--seed",
        "-1",
        "--strategy",
        "halvin",
    )
    for part in ("'convNN_8'", "'fashion'", "TRIALS", "-3", "EPOCHS", "'x'", "SEED", "halving"):
        assert part in err


def test_each_objective_that_does_not_measure_the_task_is_named(fails) -> None:  # type: ignore[no-untyped-def]
    objectives = ("accuracy", "mae", "n_params", "r2")
    flags = [word for name in objectives for word in ("--objective", name)]
    err = fails("study", "mlp", "digits", *flags)
    assert "mae does not measure classification" in err
    assert "r2 does not measure classification" in err


@pytest.mark.parametrize("value", ["0", "-3", "x", "1.5", ""])
def test_n_trials_must_be_a_whole_number_from_1(fails, value: str) -> None:  # type: ignore[no-untyped-def]
    assert "n_trials" in fails("study", "mlp", "digits", "--n-trials", value)


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "a/b",
        "",
        ".hidden",
        "x.final",
        "mlflow-artifacts",
        "1e5",
        "NA",
        "٣",
        "é" * 101,
        "像" * 70,
    ],
)
def test_a_name_must_be_a_folder_of_its_own(fails, name: str) -> None:  # type: ignore[no-untyped-def]
    assert "NAME" in fails("study", "mlp", "digits", "--name", name)


def test_settings_that_the_space_does_not_know(fails) -> None:  # type: ignore[no-untyped-def]
    err = fails(
        "study", "mlp", "digits", "--try", "lrr=0.1", "--fix", "optimizer=sdg", "--fix", "units"
    )
    for part in ("'lr'", "sgd", "units"):
        assert part in err


def test_every_mistake_of_a_space_file_has_its_line(fails, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "bad.yaml"
    file.write_text(
        "model: mlp\nparams:\n  lr: {type: flot, low: 1, high: 2}\n  units: {type: int, low: 9,"
        " high: 3}\n  momentum: {type: float, low: 0, high: 0.9, when: {optimiser: sgd}}\n"
    )
    err = fails("study", "mlp", "digits", "--space", str(file))
    assert all(f"bad.yaml:{line}" in err for line in (3, 4, 5))
    assert "'float'" in err
    assert "bad.yaml:3" in fails("space", "check", str(file))


GOOD = {
    "x_train": np.zeros((20, 4, 4), np.uint8),
    "y_train": np.arange(20) % 2,
    "x_test": np.zeros((4, 4, 4), np.uint8),
    "y_test": np.arange(4) % 2,
}


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"x_train": np.zeros((20, 4, 4), np.float32)}, "float32"),
        ({"y_train": np.arange(20) - 5}, "classes with fewer"),
        ({"y_train": np.arange(19) % 2}, "19"),
        ({"y_train": np.zeros(20, np.int64), "y_test": np.zeros(4, np.int64)}, "class"),
        ({"x_test": np.zeros((4, 5, 5), np.uint8)}, "(5, 5"),
        ({"x_train": None}, "x_train"),
    ],
)
def test_an_npz_of_the_wrong_kind(fails, tmp_path: Path, change: dict, part: str) -> None:  # type: ignore[no-untyped-def,type-arg]
    file = tmp_path / "own.npz"
    np.savez(file, **{k: v for k, v in (GOOD | change).items() if v is not None})
    assert part in fails("study", "mlp", str(file))


def test_an_npz_that_is_none_or_not_there(fails, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "text.npz").write_text("no archive")
    assert "text.npz" in fails("study", "mlp", str(tmp_path / "text.npz"))
    assert "gone.npz" in fails("study", "mlp", str(tmp_path / "gone.npz"))


def test_a_database_that_does_not_answer_or_is_none(fails, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    err = fails("study", "mlp", "digits", storage="postgresql://me:secret@127.0.0.1:9/db")
    assert "127.0.0.1" in err
    assert "secret" not in err
    assert "mysql" in fails("study", "mlp", "digits", storage="mysql://h/db")
    (tmp_path / "text.db").write_text("this is no database, whatever its name says" * 100)
    assert "text.db" in fails("study", "mlp", "digits", storage=f"sqlite:///{tmp_path / 'text.db'}")


def test_a_home_that_can_not_be_made(
    fails, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GRIDLESS_HOME", str(tmp_path / "file" / "runs"))
    assert "GRIDLESS_HOME" in fails("study", "mlp", "digits")


def test_a_torn_study_file(fails, own_home: Path) -> None:  # type: ignore[no-untyped-def]
    file = own_home / "mlp-digits" / "study.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("name: [mlp-digits\n")
    assert str(file) in fails("study", "mlp", "digits")


def test_a_study_setting_that_is_none(
    fails, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "mlp-digits.yaml").write_text("n_trails: 4\nseed: yes please\n")
    monkeypatch.chdir(tmp_path)
    err = fails("study", "mlp", "digits")
    assert "'n_trials'" in err
    assert "seed" in err


def test_an_unknown_study_has_no_report(fails, own_home: Path) -> None:  # type: ignore[no-untyped-def]
    storage = LedgerStorage(f"sqlite:///{own_home / 'studies.db'}")
    Ledger.open(storage, spec(name="mine"), {})
    storage.engine.dispose()
    assert "mine" in fails("report", "other")


def test_a_database_with_a_damaged_page(fails, own_home: Path) -> None:  # type: ignore[no-untyped-def]
    file = own_home / "studies.db"
    storage = LedgerStorage(f"sqlite:///{file}")
    ledger = Ledger.open(storage, spec(name="mine"), {})
    for _ in range(6):
        begin(ledger, WorkerIdentity.me("me"), [0.1 * i for i in range(1, 9)])
    storage.remove_session()
    storage.engine.dispose()
    content = bytearray(file.read_bytes())
    content[-8000:-100] = b"\xff" * 7900
    file.write_bytes(content)
    for command in (("report", "mine"), ("study", "mlp", "digits")):
        assert str(file) in fails(*command)


def test_a_model_whose_module_is_broken(
    fails, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "broken_nets.py").write_text("def build(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    space = tmp_path / "s.yaml"
    space.write_text(
        "model: x\ndocument: {epochs: 1}\nparams:\n  epochs: {type: constant, value: 1}\n"
    )
    assert "broken_nets" in fails(
        "study", "broken_nets:build", "digits", "--space", str(space), "--dry-run"
    )


def test_a_dry_run_says_what_an_older_study_refuses(fails, own_home: Path) -> None:  # type: ignore[no-untyped-def]
    storage = LedgerStorage(f"sqlite:///{own_home / 'studies.db'}")
    Ledger.open(storage, spec(name="mlp-digits"), {})
    storage.engine.dispose()
    told = fails("study", "mlp", "digits", "--dry-run")
    assert "seed: the study has 3" in told
    assert "strategy" not in told  # it has another one than studies now begin with, and keeps it
    assert "strategy: the study has 'halving'" in fails(
        "study", "mlp", "digits", "--dry-run", "--strategy", "tpe"
    )
    objective = ("--objective", "log_loss", "--objective", "n_params", "--at-most", "n_params=9")
    told = fails("study", "mlp", "digits", "--dry-run", *objective)
    assert "objective: the study has accuracy, this command asks for log_loss, n_params;" in told
    assert "at_most: the study has none, this command asks for n_params=9;" in told


DAMAGE = {
    "an epoch": (
        "UPDATE trial_user_attributes SET value_json = '{' WHERE key = 'epoch:1'",
        "trial 0: JSONDecodeError",
    ),
    "settings": (
        "UPDATE study_user_attributes SET value_json = '{}' WHERE key = 'spec'",
        "model: Field required",
    ),
}


@pytest.mark.parametrize(("statement", "told"), DAMAGE.values(), ids=DAMAGE)
def test_a_study_whose_record_is_damaged_can_be_deleted_and_nothing_else(  # type: ignore[no-untyped-def]
    fails, command, own_home: Path, empty_sqlite: Path, statement: str, told: str
) -> None:
    own_home.mkdir()
    shutil.copy(empty_sqlite, own_home / "studies.db")
    storage = LedgerStorage(f"sqlite:///{own_home / 'studies.db'}")
    keep(storage, own_home, finalists=0)
    with storage.session() as session:
        session.execute(sa.text(statement.replace("epoch:", r"epoch\:")))
    keep(storage, own_home, "sound", finalists=0, trackers=())
    storage.engine.dispose()
    for arguments in (
        ("report", "mine"),
        ("compare", "mine", "sound"),
        ("export", "mine"),
        ("reproduce", "mine", "0"),
        ("archive", "mine", "--yes"),
    ):
        said = fails(*arguments)
        assert "study 'mine': its stored record is damaged (" in said, said
        assert told in said
        assert "bring back a copy" in said
    for arguments in (
        ("delete", "mine", "--dry-run"),
        ("delete", "mine", "--yes"),
        ("report", "sound"),
    ):
        assert command(*arguments)[0] == 0
    assert storage.study_names() == ["sound"]


def test_a_damaged_study_has_a_row_among_the_others(  # type: ignore[no-untyped-def]
    own_home: Path, monkeypatch: pytest.MonkeyPatch, command
) -> None:
    storage = LedgerStorage(f"sqlite:///{own_home / 'studies.db'}")
    for name in ("mine", "sound"):
        begin(Ledger.open(storage, spec(name=name), {}), WorkerIdentity.me("me"), [0.5])
    with storage.session() as session:
        session.execute(
            sa.text("UPDATE trial_user_attributes SET value_json = '{' WHERE trial_id = 1")
        )
    storage.engine.dispose()
    for names in ((), ("sound", "mine")):
        _, out, _ = command("status", *names, "--json")
        sound, mine = json.loads(out)["studies"]
        assert (sound["study"], sound["running"], mine["study"], mine["state"]) == (
            "sound",
            1,
            "mine",
            "damaged",
        )
        assert set(sound) == set(mine)
        assert mine["n_trials"] is None
        assert "trial 0: JSONDecodeError" in mine["reason"]
    monkeypatch.setenv("COLUMNS", "140")
    _, out, _ = command("status")
    assert [line.split()[:2] for line in out.splitlines() if line[:4] in {"soun", "mine"}] == [
        ["sound", "open"],
        ["mine", "damaged"],
    ]


def test_reproduce_makes_no_storage(fails, own_home: Path) -> None:  # type: ignore[no-untyped-def]
    assert "there are no studies yet" in fails("reproduce", "mine", "0")
    assert not own_home.exists()


@pytest.mark.parametrize("verb", ["delete", "archive"])
def test_a_store_out_of_reach_holds_up_what_would_remove_its_files(  # type: ignore[no-untyped-def]
    fails, own_home: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    storage = LedgerStorage(f"sqlite:///{own_home / 'studies.db'}")
    keep(storage, own_home, finalists=0)
    storage.engine.dispose()
    monkeypatch.setenv("GRIDLESS_ARTIFACTS", "ftp://127.0.0.1:9/x")
    said = fails(verb, "mine", "--yes")
    assert (
        "what 'mine' keeps can't be looked at (ftp://127.0.0.1:9/x/mine/checkpoints:"
        " ConnectionRefused" in said
    )
    assert "GRIDLESS_ARTIFACTS" in said
    assert storage.study_names() == ["mine"]


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://u@127.0.0.1:1/db?password={SECRET}",
        f"postgresql://u@127.0.0.1:1/db?sslpassword={SECRET}&connect_timeout=3",
        f"postgresql://u:{SECRET}@127.0.0.1:notaport/db",
        f"postgresql://u:{SECRET}@[::1/db",
        f"postgresql://u:{SECRET}@127.0.0.1:1/db?x=1",
        f"sqlite:////proc/at/all.db?password={SECRET}",
    ],
)
@pytest.mark.parametrize(
    "arguments", [("status",), ("delete", "s", "--dry-run"), ("worker", "--until-idle")]
)
def test_a_storage_that_can_not_be_opened_is_told_without_a_secret(
    fails, url: str, arguments: tuple[str, ...]
) -> None:  # type: ignore[no-untyped-def]
    err = fails(*arguments, storage=url)
    assert SECRET not in err
    assert "GRIDLESS_STORAGE" in err or "storage" in err


def test_a_limit_on_memory_that_no_framework_loads_in(
    fails, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("resource.getrlimit", lambda _what: (2**30, -1))
    assert "`ulimit -v` allows a process 1,024 MB, and 2,500 MB is the least" in fails(
        "study", "mlp", "digits"
    )
    assert crash_reason(CrashedError(-6)).startswith(
        "its process was killed by SIGABRT; `ulimit -v` allows it 1,024 MB"
    )
    monkeypatch.undo()
    assert crash_reason(CrashedError(-6)) == "its process was killed by SIGABRT"
