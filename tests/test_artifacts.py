"""Whole files on this machine and in stores, and where the environment says that they are."""

import io
import logging
import sys
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
import sqlalchemy as sa
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem

from search.artifacts import exists, join, reading, remove, remove_tree, sizes_below, whole
from search.errors import InputError
from search.paths import artifacts, check_artifacts, home, storage_url
from search.secret import masked


class StoreError(Exception):
    """Stores raise errors of their own families, which are no OSErrors."""


class Faulty(MemoryFileSystem):
    """A store with folders that must be made, and that may go away."""

    protocol = "faulty"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    fault: ClassVar[BaseException | None] = None

    def _open(self, path: str, mode: str = "rb", **more: Any) -> Any:
        if mode == "wb" and not self.isdir(self._parent(path)):
            raise FileNotFoundError(path)
        return super()._open(path, mode, **more)

    def get_file(self, path: str, target: str, **more: Any) -> None:
        self._fail()
        super().get_file(path, target, **more)

    def _fail(self) -> None:
        if type(self).fault is not None:
            raise type(self).fault


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> type[Faulty]:
    fsspec.register_implementation("faulty", Faulty, clobber=True)
    monkeypatch.setattr(Faulty, "store", {})
    monkeypatch.setattr(Faulty, "pseudo_dirs", [""])
    monkeypatch.setattr(Faulty, "fault", None)
    commit = MemoryFile.commit

    def failing(file: MemoryFile) -> None:
        if isinstance(file.fs, Faulty):
            file.fs._fail()
        commit(file)

    monkeypatch.setattr(MemoryFile, "commit", failing)
    return Faulty


@pytest.fixture(params=["", "file://", "faulty://"])
def root(request: pytest.FixtureRequest, tmp_path: Path, faulty: type[Faulty]) -> str:
    """A place of each kind: a folder, the same as a URL, and a store."""
    return f"{request.param}{'/box' if request.param == 'faulty://' else tmp_path / 'a box'}"


def put(location: str, data: bytes) -> None:
    with whole(location) as file:
        file.write(data)


def get(location: str) -> bytes:
    with reading(location) as file:
        return file.read()


def test_a_file_is_written_read_back_and_removed_wherever_it_is(root: str) -> None:
    one, other = (
        join(root, "study", "checkpoints", "1.npz"),
        join(root, "study", "evidence", "1.npz"),
    )
    assert not exists(one)
    with pytest.raises(FileNotFoundError):
        get(one)
    for location in (one, other):
        put(location, b"old")
        put(location, b"new" * 7_000_000)  # more than is held in memory
    assert get(one) == get(other) == b"new" * 7_000_000
    remove(one)
    remove(one)
    assert (exists(one), exists(other)) == (False, True)
    remove_tree(join(root, "study"))
    remove_tree(join(root, "study"))
    assert not exists(other)


def test_what_is_not_finished_is_never_seen(root: str) -> None:
    location = join(root, "x")
    put(location, b"old")
    with pytest.raises(ZeroDivisionError), whole(location) as file:  # noqa: PT012
        file.write(b"new")
        file.flush()
        assert get(location) == b"old"
        raise ZeroDivisionError  # the writer's own error stays what it is
    assert get(location) == b"old"


def test_an_upload_that_is_cut_short_leaves_the_old_file(
    faulty: type[Faulty], monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(file: MemoryFile, data: bytes) -> int:
        io.BytesIO.write(file, data[: len(data) // 2])
        raise StoreError("connection reset")

    put("faulty://box/x", b"old")
    with monkeypatch.context() as cut:
        cut.setattr(MemoryFile, "write", half)
        with pytest.raises(ConnectionError, match="reset"):
            put("faulty://box/x", b"something new")
    assert get("faulty://box/x") == b"old"


@pytest.mark.parametrize(
    "fault", [StoreError("no route"), OSError(5, "Input/output error"), TimeoutError("slow")]
)
def test_a_store_out_of_reach_is_told_from_a_file_that_is_not_there(
    faulty: type[Faulty], fault: Exception
) -> None:
    location = "faulty://user:secret@box/x"
    put(location, b"old")
    faulty.fault = fault
    for use in (lambda: put(location, b"new"), lambda: get(location)):
        with pytest.raises(ConnectionError, match=r"faulty://user:\*\*\*@box/x: \w+: ") as caught:
            use()
        assert "secret" not in str(caught.value)
    faulty.fault = None
    assert get(location) == b"old"
    put(location, b"new")
    assert get(location) == b"new"


def test_a_store_that_is_unknown_or_lacks_its_package_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(InputError, match=r"neither a path nor a URL .*GRIDLESS_ARTIFACTS"):
        put("nosuch://box/x", b"")
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(InputError, match="pip install s3fs"):
        get("s3://key:secret@box/x")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(InputError, match="pip install fsspec"):
        remove("memory://box/x")


def test_a_store_that_can_not_be_connected_to_is_out_of_reach_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def connect(_url: str) -> None:
        raise fault

    monkeypatch.setattr(fsspec, "url_to_fs", connect)
    for fault in (
        ConnectionRefusedError(111, "refused"),
        FileNotFoundError("~/.key"),
        StoreError("no route"),
    ):
        for use in (get, remove, remove_tree, sizes_below):
            with pytest.raises(
                ConnectionError, match=rf"ftp://me:\*\*\*@box/x: {type(fault).__name__}: "
            ):
                use("ftp://me:secret@box/x")


def test_what_a_killed_writer_left_goes_with_the_file(tmp_path: Path) -> None:
    put(str(tmp_path / "1.npz"), b"whole")
    (tmp_path / ".1.npz.0123.part").write_bytes(b"half")
    (tmp_path / ".11.npz.0123.part").write_bytes(b"another's")
    remove(tmp_path / "1.npz")
    assert [p.name for p in tmp_path.iterdir()] == [".11.npz.0123.part"]


def test_artifacts_are_at_home_unless_the_environment_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert artifacts("mlp-digits") == str(home() / "mlp-digits")
    monkeypatch.setenv("GRIDLESS_ARTIFACTS", "shared")
    assert artifacts("s") == str(Path.cwd() / "shared" / "s")
    monkeypatch.setenv("GRIDLESS_ARTIFACTS", "s3://box/runs/")
    assert artifacts("s") == "s3://box/runs/s"
    assert masked("s3://key:secret@box/runs") == "s3://key:***@box/runs"


def test_a_place_for_artifacts_is_tried_and_left_as_it_was(
    root: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, faulty: type[Faulty]
) -> None:
    monkeypatch.setenv("GRIDLESS_ARTIFACTS", root)
    assert check_artifacts() is None
    assert not faulty.store
    assert not list(tmp_path.glob("a box/*"))


def test_a_place_for_artifacts_that_does_not_serve_is_named_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, faulty: type[Faulty]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GRIDLESS_ARTIFACTS", str(tmp_path / "file"))
    assert "GRIDLESS_ARTIFACTS" in str(check_artifacts())
    monkeypatch.setenv("GRIDLESS_ARTIFACTS", "nosuch://box")
    assert "nosuch" in str(check_artifacts())
    monkeypatch.setenv("GRIDLESS_ARTIFACTS", "faulty://user:secret@box")
    faulty.fault = StoreError("signature does not match")
    message = str(check_artifacts())
    assert "signature does not match" in message
    assert "secret" not in message


def test_a_password_file_goes_into_the_url_of_the_database(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text("p@ss/w:rd%20 ü \n")
    monkeypatch.setenv("GRIDLESS_STORAGE_PASSWORD_FILE", str(file))
    monkeypatch.setenv("GRIDLESS_STORAGE", "postgresql://gridless@db:5432/studies")
    url = sa.make_url(storage_url())
    assert (url.username, url.password, url.host, url.database) == (
        "gridless",
        "p@ss/w:rd%20 ü ",
        "db",
        "studies",
    )
    for content in ("\n", None):
        file.unlink() if content is None else file.write_text(content)
        with pytest.raises(InputError, match="GRIDLESS_STORAGE_PASSWORD_FILE"):
            storage_url()
    file.write_text("secret")
    monkeypatch.delenv("GRIDLESS_STORAGE")
    with pytest.raises(InputError, match="GRIDLESS_STORAGE to postgresql"):
        storage_url()


def test_no_package_of_stores_is_loaded_for_files_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with caplog.at_level(logging.WARNING):
        put(str(tmp_path / "x"), b"1")
        assert get(f"file://{tmp_path / 'x'}") == b"1"
    assert not caplog.records
