"""A study packed into one file: all of it is there, the file is read again, and nothing else is
ever taken for one.
"""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search.errors import InputError
from search.study.storage.archive import read_archive, write_archive
from search.study.storage.jsonl import read_lines, study_lines
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.queue import Place, QueueState
from search.study.storage.read import StoredStudy, read_study, stored_studies
from tests.kept import ME, keep
from tests.study.helpers import begin, store_place

Open = Callable[[], LedgerStorage]
on_sqlite = pytest.mark.parametrize("storage_url", ["sqlite"], indirect=True)


@pytest.fixture
def studies(open_storage: Open, own_home: Path) -> tuple[LedgerStorage, tuple[StoredStudy, ...]]:
    """A search with a trial of every fate, and its finalists."""
    storage = open_storage()
    ledger = keep(storage, own_home, n_trials=6)
    ledger.prune(begin(ledger, ME, [0.1 + 0.2]), 0.1 + 0.2, "too low")
    ledger.fail(begin(ledger, ME), "boom", log_tail="a\nlog, « é »")
    ledger.fail(begin(ledger, ME, [0.4]), "NaN", untrainable=True)
    ledger.give_back(begin(ledger, ME, [0.3]), paused=True)
    store_place(ledger, Place(QueueState.DONE, reason="its budget is spent"))
    return storage, stored_studies(storage, "mine")


def test_what_comes_out_is_what_was_stored_and_what_lay_in_the_folders(
    studies: Any, tmp_path: Path, own_home: Path
) -> None:
    storage, kept = studies
    path = tmp_path / "new" / "mine.tar.gz"
    assert write_archive(storage, kept, path) == path.stat().st_size
    stored = {name: read_study(storage, name) for name in ("mine", "mine.final")}
    assert [t.state for t in stored["mine"].trials] == ["COMPLETE"] * 2 + [
        "PRUNED",
        "FAIL",
        "FAIL",
        "WAITING",
    ]
    assert read_archive(path) == stored
    assert stored["mine"].ended_by == "its budget is spent"
    with tarfile.open(path) as tar:
        names = sorted(tar.getnames())
        tar.extractall(tmp_path / "out", filter="data")
    assert names == [
        "mine.final/evidence/trial-0000.npz",
        "mine.final/evidence/trial-0001.npz",
        "mine.final/record.jsonl",
        "mine/evidence/samples.npz",
        "mine/figures/history.html",
        "mine/leaderboard.csv",
        "mine/manifest.json",
        "mine/record.jsonl",
        "mine/report.html",
        "mine/study.yaml",
    ]
    for name in ("mine/report.html", "mine/evidence/samples.npz"):
        assert (tmp_path / "out" / name).read_bytes() == (own_home / name).read_bytes()
    first, *rows = (tmp_path / "out" / "mine" / "record.jsonl").read_text().splitlines()
    assert json.loads(first)["schema"] == "gridless.study/1"
    assert [json.loads(row)["number"] for row in rows] == [0, 1, 2, 3, 4, 5]
    assert json.loads(rows[0])["user_attrs"]["epoch:1"]["val_accuracy"] == 0.5


@on_sqlite
def test_evidence_in_a_store_is_packed_too(
    studies: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fsspec

    monkeypatch.setenv("GRIDLESS_ARTIFACTS", f"memory://{tmp_path}")
    with fsspec.open(f"memory://{tmp_path}/mine/evidence/sub/trial-0007.npz", "wb") as file:
        file.write(b"far away")
    write_archive(*studies, tmp_path / "mine.tar.gz")
    with tarfile.open(tmp_path / "mine.tar.gz") as tar:
        found = tar.extractfile("mine/evidence/sub/trial-0007.npz")
        assert found is not None
        assert found.read() == b"far away"


@on_sqlite
def test_a_second_call_takes_a_whole_file_of_the_same_and_refuses_any_other(
    studies: Any, tmp_path: Path
) -> None:
    storage, kept = studies
    path = tmp_path / "mine.tar.gz"
    write_archive(storage, kept, path)
    before = path.read_bytes()
    assert write_archive(storage, kept, path) == len(before)
    assert path.read_bytes() == before
    with pytest.raises(InputError, match="exists"):
        write_archive(storage, kept[:1], path)
    for damaged in (before[:-100], b"", before[:2000] + b"\0" * 50 + before[2050:]):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="exists"):
            write_archive(storage, kept, path)
        with pytest.raises(InputError, match="can't be read as an archive"):
            read_archive(path)
        assert path.read_bytes() == damaged


@on_sqlite
def test_what_the_disk_did_not_keep_is_noticed_and_nothing_is_left(
    studies: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that returns other bytes than it was given."""
    target = tmp_path / "out" / "mine.tar.gz"
    pack = tarfile.TarFile.addfile

    def bad(tar: tarfile.TarFile, info: tarfile.TarInfo, source: Any) -> None:
        data = source.read()
        pack(tar, info, io.BytesIO(data.replace(b"it was good", b"it was bad!")))

    monkeypatch.setattr(tarfile.TarFile, "addfile", bad)
    with pytest.raises(InputError, match="what was written is not what was read"):
        write_archive(*studies, target)
    assert list(target.parent.iterdir()) == []


@on_sqlite
def test_a_full_disk_or_a_file_in_the_way_leaves_nothing(studies: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"can't be written.*nothing was removed"):
        write_archive(*studies, tmp_path / "file" / "mine.tar.gz")
    assert (tmp_path / "file").read_text() == ""


@on_sqlite
def test_lines_of_another_version_or_without_an_end_are_refused(studies: Any) -> None:
    storage, kept = studies
    lines = list(study_lines(storage, kept[0]))
    assert read_lines(lines) == read_study(storage, "mine")
    with pytest.raises(InputError, match=r"gridless\.study/2.*install a newer"):
        read_lines([lines[0].replace(b"study/1", b"study/2"), *lines[1:]])
    for cut in ([], [lines[0], lines[1][:-9]], [b"[]"], [lines[0], b"{}"]):
        with pytest.raises(InputError, match="damaged"):
            read_lines(cut)


def test_a_file_that_is_no_archive_of_a_study_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(__file__, "../../evil.py")
        link = tarfile.TarInfo("mine/record.jsonl")
        tar.addfile(replace_type(link))
    with pytest.raises(InputError, match="can't be read as an archive"):
        read_archive(path)
    with pytest.raises(InputError, match="No such file"):
        read_archive(tmp_path / "none.tar.gz")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other.tar.gz"]


def replace_type(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """A link that leads out."""
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return info
