"""`gridless delete`, `archive`, `export` and `predict`, as a person or a script gives them."""

import io
import json
import os
import sys
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import search
from search.cli import main
from search.cli.views.quiet import without_chatter
from search.records import Task
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.queue import QueueState
from search.training.evidence import Judged, write_predictions
from search.training.feed import Part
from search.training.kept_network import Verdict
from tests.kept import ME, SHAPE, keep, samples
from tests.study.helpers import begin, store_place
from tests.tracking.helpers import mirrored
from tests.training.test_inference import save

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Give a command; its exit code, stdout and stderr."""

    def give(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["gridless", *map(str, arguments)])
        monkeypatch.setattr("sys.path", list(sys.path))
        with pytest.raises(SystemExit) as exit_:
            main()
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return int(exit_.value.code or 0), out, err

    return give


@pytest.fixture
def storage(empty_sqlite: Path, own_home: Path) -> LedgerStorage:
    own_home.mkdir()
    (own_home / "studies.db").write_bytes(empty_sqlite.read_bytes())
    return LedgerStorage(f"sqlite:///{own_home / 'studies.db'}")


def everything(folder: Path) -> dict[str, int]:
    """Every file but the database's and the home's own, with its size."""
    own = ("studies.db", ".id")
    files = (p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(own))
    return {str(p.relative_to(folder)): p.stat().st_size for p in files}


def test_delete_says_what_goes_and_does_it_only_when_told(
    run: Run, storage: LedgerStorage, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(storage, own_home)
    before = everything(own_home)
    code, out, _ = run("delete", "mine", "--dry-run")
    assert code == 0
    assert "mine: 2 trials in sqlite:///" in out
    assert f"0.3 MB  {own_home / 'mine'}\n" in out
    assert "0.3 MB  are freed" in out
    code, out, _ = run("delete", "mine", "--dry-run", "--json")
    plan = json.loads(out)
    assert (plan["n_trials"], plan["stays"]) == ({"mine": 2, "mine.final": 2}, [])
    assert plan["frees_mb"] == pytest.approx(sum(plan["mb"].values()), abs=0.02)
    code, _, err = run("delete", "mine")
    assert code == 2
    assert "--yes" in err
    terminal = io.StringIO("n\n")
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stdin", terminal)
    assert run("delete", "mine")[0] == 1
    assert everything(own_home) == before
    assert storage.study_names() == ["mine", "mine.final"]
    code, out, err = run("delete", "mine", "--yes", "--json")
    assert (code, json.loads(out)["deleted"], err) == (0, "mine", "")
    assert everything(own_home) == {}
    assert storage.study_names() == []
    code, _, err = run("delete", "mine", "--yes")
    assert (code, "'mine' is not in the storage" in err) == (2, True)


@pytest.mark.parametrize("command", ["delete", "archive"])
def test_a_study_that_is_being_trained_is_left_alone(
    run: Run, storage: LedgerStorage, own_home: Path, command: str
) -> None:
    begin(keep(storage, own_home, n_trials=3), ME)
    before = everything(own_home)
    code, _, err = run(command, "mine", "--yes")
    assert code == 2
    assert "gridless pause mine" in err
    assert everything(own_home) == before


def test_runs_in_mlflow_stay_unless_they_are_to_go_too(
    run: Run, storage: LedgerStorage, own_home: Path
) -> None:
    uri = f"sqlite:///{own_home / 'mlflow.db'}"
    for name in ("mine", "other"):
        keep(storage, own_home, name, finalists=0)
        assert mirrored(storage, name).left == ()
    out = run("delete", "mine", "--dry-run")[1]
    assert "stays: MLflow's runs" in out
    assert "--mlflow" in out
    code, out, _ = run("delete", "mine", "--yes", "--mlflow")
    assert code == 0
    assert "runs marked as deleted in MLflow: 3" in out
    client = mlflow.MlflowClient(uri)
    for name, n_left in (("mine", 0), ("other", 3)):
        experiment = client.get_experiment_by_name(name)
        assert experiment is not None
        assert len(client.search_runs([experiment.experiment_id])) == n_left


def test_when_mlflow_can_not_be_reached_nothing_is_deleted(
    run: Run, storage: LedgerStorage, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(storage, own_home)
    before = everything(own_home)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    code, _, err = run("delete", "mine", "--yes", "--mlflow")
    assert code == 1
    assert "nothing else was removed" in err
    assert "secret" not in err
    assert everything(own_home) == before
    assert storage.study_names() == ["mine", "mine.final"]


def test_archive_packs_and_frees_and_its_file_is_read_again(
    run: Run, storage: LedgerStorage, own_home: Path
) -> None:
    keep(storage, own_home)
    board = search.load_study("mine").leaderboard
    code, out, _ = run("archive", "mine", "--keep", "--to", own_home / "copy.tgz", "--json")
    assert (code, json.loads(out)["freed_mb"]) == (0, 0)
    assert storage.study_names() == ["mine", "mine.final"]
    code, out, _ = run("archive", "mine", "--yes")
    assert code == 0
    assert "MB freed" in out
    assert set(everything(own_home)) == {"mine.tar.gz", "copy.tgz"}
    with tarfile.open(
        own_home / "mine.tar.gz"
    ) as packed:  # the folder's own was older than the study's end
        assert packed.extractfile("mine/leaderboard.csv").read().startswith(b"rank,study,model")  # type: ignore[union-attr]
        assert "mine/report.html" in packed.getnames()
    assert storage.study_names() == []
    for file in ("mine.tar.gz", "copy.tgz"):
        archived = search.load_study(str(own_home / file))
        columns = [c for c in board.columns if c != "tied_with_best"]
        pd.testing.assert_frame_equal(archived.leaderboard[columns], board[columns])


def test_a_network_stays_until_a_new_best_was_trained_again(
    run: Run, storage: LedgerStorage, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.report.champion_network.verify", lambda *_: Verdict("alone", ""))
    ledger = keep(storage, own_home, n_trials=3, trackers=())
    kept = own_home / "mine.final" / "evidence" / "model-0000.keras"
    kept.write_bytes(b"the network of trial 1")
    assert run("report", "mine")[0] == 0
    ledger.complete(begin(ledger, ME, [0.99]), 0.99)
    code, out, _ = run("report", "mine")
    assert (
        code,
        "Of those trained again validation ranks trial 1 first" in " ".join(out.split()),
    ) == (0, True)
    assert "being trained again" not in out
    assert (own_home / "mine" / "model.keras").read_bytes() == kept.read_bytes()


def test_the_screen_says_that_a_network_answers_with_one_class_only(
    run: Run, storage: LedgerStorage, own_home: Path
) -> None:
    keep(storage, own_home)
    labels, pixels = np.array([0] * 9 + [1]), np.zeros((10, *SHAPE), np.uint8)
    always = np.tile(np.float32([0.8, 0.2]), (10, 1))
    judged = Judged("validation", 1, Task.CLASSIFICATION, always, Part(pixels, labels))
    write_predictions(own_home / "mine" / "evidence", 1, judged)
    out = " ".join(run("report", "mine")[1].split())
    assert "caution: Trial 1 calls every one of 10 validation images" in out
    assert "gets 90.00 %." in out


def test_an_archive_that_was_cut_short_between_packing_and_deleting_goes_on(
    run: Run, storage: LedgerStorage, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = keep(storage, own_home)

    def power_cut(*_: object) -> None:
        os.unlink(own_home / "mine" / "report.html")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("search.study.storage.removal.remove_tree", power_cut)
        assert run("archive", "mine", "--yes")[0] == 130
    assert ledger.place().reason == "it is being archived"
    packed = (own_home / "mine.tar.gz").read_bytes()
    assert run("archive", "mine", "--yes")[0] == 0
    assert (own_home / "mine.tar.gz").read_bytes() == packed
    assert set(everything(own_home)) == {"mine.tar.gz"}


def test_an_archive_that_can_not_be_written_changes_nothing(
    run: Run, storage: LedgerStorage, own_home: Path
) -> None:
    ledger = keep(storage, own_home, trackers=())
    run("report", "mine")
    (own_home / "mine.tar.gz").write_text("something else")
    before = everything(own_home)
    place = ledger.place()
    cases = [
        ((), "exists"),
        (("--to", own_home / "studies.db" / "a.tar.gz"), "can't be written"),
        (("--to", own_home / "a.zip"), "ends in .tar.gz"),
        (("--to", own_home / "mine" / "a.tar.gz"), "in a folder that will be deleted"),
    ]
    for more, told in cases:
        code, _, err = run("archive", "mine", "--yes", *more)
        assert (code, told in err) == (2, True), err
    assert run("archive", "mine")[0] == 2
    assert everything(own_home) == before
    assert (ledger.place(), place.state) == (place, QueueState.OPEN)


def test_export_writes_each_format_where_it_is_told(
    run: Run, storage: LedgerStorage, own_home: Path
) -> None:
    keep(storage, own_home)
    code, out, _ = run("export", "mine", "--format", "parquet", "--to", own_home / "out")
    assert (code, out.strip()) == (0, str(own_home / "out" / "leaderboard.parquet"))
    assert len(pd.read_parquet(out.strip())) == 2
    assert run("export", "mine")[1].strip() == str(own_home / "mine" / "leaderboard.csv")
    code, _, err = run("export", "mine", "--format", "excel")
    assert (code, "'excel' is not known" in err) == (2, True)


def picture(path: Path, level: int) -> Path:
    Image.fromarray(np.full(SHAPE[:2], level, np.uint8), mode="L").save(path)
    return path


def test_predict_names_the_class_of_each_image(run: Run, own_home: Path, tmp_path: Path) -> None:
    samples(own_home / "mine" / "evidence" / "samples.npz")
    save(own_home / "mine" / "model.keras")
    dark, bright = picture(tmp_path / "=dark, or not.png", 0), picture(tmp_path / "bright.png", 255)
    np.savez(tmp_path / "new.npz", x=np.full((2, *SHAPE), 128, np.uint8))
    code, out, err = run("predict", "mine", dark, bright, tmp_path / "new.npz")
    assert (code, err) == (0, "")
    table = pd.read_csv(io.StringIO(out))
    assert table.columns.tolist() == ["image", "class", "probability"]
    assert table["class"].tolist() == ["nought", "two", "'=one", "'=one"]
    assert table["image"].tolist() == [
        str(dark),
        str(bright),
        *(f"{tmp_path / 'new.npz'}[{i}]" for i in (0, 1)),
    ]
    assert table["probability"].round(2).tolist() == [0.98, 0.98, 0.58, 0.58]
    Image.fromarray(np.full((40, 60, 3), 255, np.uint8)).save(tmp_path / "large.png")
    code, out, err = run("predict", "mine", tmp_path / "large.png", "--top", 9, "--json")
    [answer] = json.loads(out)
    assert (answer["class"], answer["label"], [g["class"] for g in answer["top"]]) == (
        "two",
        2,
        ["two", "=one", "nought"],
    )
    assert sum(g["probability"] for g in answer["top"]) == pytest.approx(1)
    assert "brought to 6×4 pixels" in err
    assert "turned from colour to grey" in err
    code, out, _ = run("predict", "mine", dark, "--top", 2)
    assert out.splitlines()[0] == "image,class,probability,class_2,probability_2"
    (own_home / "mine" / "evidence" / "samples.npz").unlink()
    assert pd.read_csv(io.StringIO(run("predict", "mine", bright)[1]))["class"].tolist() == [2]


def test_predict_refuses_what_can_not_be_right(
    run: Run, storage: LedgerStorage, own_home: Path, tmp_path: Path
) -> None:
    keep(storage, own_home)
    image = picture(tmp_path / "a.png", 0)
    code, _, err = run("predict", "mine", image)
    assert (code, "has no network yet" in err, "--finalists 1" in err) == (2, True, True)
    (own_home / "mine" / ".model.json").write_text(
        '{"digest": "", "how": null, "problem": "it is random"}'
    )
    code, _, err = run("predict", "mine", image)
    assert (code, "can't be used: it is random" in err, "--finalists" in err) == (2, True, False)
    for name, told in (
        ("mind", "did you mean 'mine'"),
        ("../mine", "letters"),
        ("mine.final", "give mine"),
    ):
        code, _, err = run("predict", name, image)
        assert (code, told in err) == (2, True), err
    (own_home / "mine" / "model.keras").write_bytes(b"torn")
    (tmp_path / "text.png").write_text("no image")
    code, _, err = run("predict", "mine", tmp_path / "gone.png", tmp_path / "text.png", image)
    assert (code, err.count("error: ")) == (2, 2)
    code, _, err = run("predict", "mine", image)
    assert (code, "can't be loaded" in err) == (2, True)


@pytest.mark.parametrize("command", ["sync", "register"])
def test_a_study_that_ran_without_mlflow_is_not_sent_on_errands(
    run: Run, storage: LedgerStorage, own_home: Path, command: str
) -> None:
    ledger = keep(storage, own_home)
    store_place(ledger, replace(ledger.place(), trackers=()))
    code, _, err = run(command, "mine")
    assert (code, "--no-mlflow" in err, "gridless sync" in err) == (2, True, False)


def test_sync_fails_where_a_tracker_or_the_storage_is_out_of_reach(
    run: Run, storage: LedgerStorage, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = keep(storage, own_home)
    store_place(ledger, replace(ledger.place(), trackers=("elsewhere",)))
    code, out, err = run("sync", "mine")
    assert (code, "all of it is missing" in out, "'elsewhere' is no tracker" in err) == (1, 1, 1)

    def fail(_request: object, log: Path) -> None:
        log.write_text("the database is away\n")

    monkeypatch.setattr("search.tracking.process.bring_now", fail)
    code, _, err = run("sync", "mine")
    assert (code, "error: nothing was brought" in err, "the database is away" in err) == (1, 1, 1)


def test_without_a_storage_every_command_says_so_and_makes_none(run: Run, own_home: Path) -> None:
    for command in (
        ("delete", "a", "--yes"),
        ("archive", "a", "--yes"),
        ("export", "a"),
        ("predict", "a", "b.png"),
    ):
        code, _, err = run(*command)
        assert (code, "there are no studies yet" in err) == (2, True), err
    assert not own_home.exists()


def test_only_tensorflows_own_lines_are_kept_from_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    lines = [
        "I0000 00:00:1795338719.390508   17589 port.cc:153] oneDNN custom operations are on.",
        "a warning of ours",
        "E0000 00:00:1795338723.870027   17589 cuda_platform.cc:52] failed call to cuInit",
        "last words",
    ]

    def talk() -> None:
        with without_chatter():
            os.write(2, "\n".join(lines).encode())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        talk()
    os.write(2, b"after")
    assert capfd.readouterr().err == "a warning of ours\nlast words\nafter"
