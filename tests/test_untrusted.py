"""Files that would take the machine's memory or its time: refused before they are read."""

import io
import json
import os
import tarfile
import zipfile
from collections import namedtuple
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from search import untrusted
from search.actions.importing.sources import read_past
from search.datasets import load
from search.errors import InputError
from search.space.load import load_space
from search.space.yaml_file import typed
from search.study.read_settings import read_settings
from search.study.storage.archive import read_archive

LEVELS = "abcdefgh"
LAUGHS = "\n".join(
    ["a: &a [lol, lol, lol, lol, lol, lol, lol, lol]"]
    + [f"{b}: &{b} [{', '.join([f'*{a}'] * 8)}]" for a, b in pairwise(LEVELS)]
)
CHOICES = "params: {{n: {{type: choice, choices: {}}}}}"


@pytest.mark.parametrize(
    "text", [LAUGHS, CHOICES.format([*range(10_000)]), CHOICES.format([*range(200_000)])]
)
def test_no_file_holds_more_values_than_make_sense(tmp_path: Path, text: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    for read in (load_space, read_settings):
        with pytest.raises(InputError, match="holds more than 10,000 values"):
            read(path)
    if text is LAUGHS:
        assert typed(text) == text


def test_aliases_merges_and_long_texts_are_as_good_as_ever(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("base: &b {x: 1, y: 2}\na: {<<: *b, y: 3}\nc: [*b, *b]\nt: |\n  two\n  lines\n")
    both = {"x": 1, "y": 2}
    assert read_settings(path) == {
        "base": both,
        "a": {"x": 1, "y": 3},
        "c": [both, both],
        "t": "two\nlines\n",
    }


@pytest.mark.parametrize(
    "value", ["2001-13-45", "9" * 5000, '"\\x1b"', '"\\ud800"', "!!binary é", "!!timestamp x"]
)
def test_a_value_that_is_none_is_told_by_its_line(tmp_path: Path, value: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(f"a: 1\nb: {value}\n")
    with pytest.raises(InputError, match=r"own\.yaml:2: "):
        read_settings(path)


def test_only_regular_files_are_opened_and_links_to_folders_are_not_followed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for label in "ab":
        (tmp_path / "own" / label).mkdir(parents=True)
        for i in range(3):
            Image.fromarray(np.full((4, 4), i, np.uint8)).save(
                tmp_path / "own" / label / f"{i}.png"
            )
    (tmp_path / "own" / "c").symlink_to(tmp_path / "own")
    assert load(str(tmp_path / "own")).class_names == ("a", "b")
    assert "links to folders are not followed" in caplog.text
    os.mkfifo(tmp_path / "own" / "a" / "pipe.png")
    (tmp_path / "own" / "b" / "zero.png").symlink_to("/dev/zero")
    with pytest.raises(InputError, match=r"2 files can't be read.*is no regular file"):
        load(str(tmp_path / "own"))
    for name in ("p.yaml", "p.json", "p.csv", "p.tar.gz"):
        os.mkfifo(tmp_path / name)
    for name, read in (
        ("p.yaml", load_space),
        ("p.yaml", read_settings),
        ("p.tar.gz", read_archive),
    ):
        with pytest.raises(InputError, match="no regular file"):
            read(tmp_path / name)
    for name in ("p.json", "p.csv"):
        with pytest.raises(InputError, match="no regular file"):
            read_past(str(tmp_path / name), None)


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte is free."""
    memory = namedtuple("memory", "available total")(2**20, 2**20)
    monkeypatch.setattr(untrusted.psutil, "virtual_memory", lambda: memory)


def test_what_unpacks_to_more_than_memory_is_not_unpacked(
    tmp_path: Path, little_memory: None
) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as file:
        for name in ("x_train", "y_train", "x_test", "y_test"):
            with file.open(f"{name}.npy", "w") as array:
                np.save(array, np.zeros((500, 28, 28) if name == "x_train" else 2, np.uint8))
    record = (
        json.dumps({"schema": "gridless.study/1", "study": "s", "attrs": {}}).encode()
        + b"\n" * 2**20
    )
    with tarfile.open(tmp_path / "bomb.tar.gz", "w:gz") as tar:
        info = tarfile.TarInfo("s/record.jsonl")
        info.size = len(record)
        tar.addfile(info, io.BytesIO(record))
    (tmp_path / "bomb.json").write_text(json.dumps([0] * 100_000))
    (tmp_path / "bomb.csv").write_text("val_accuracy,param.n\n" * 10_000)
    assert sum(file.stat().st_size for file in tmp_path.glob("bomb.*z")) < 10_000
    reads = [
        lambda: load(str(tmp_path / "bomb.npz")),
        lambda: read_archive(tmp_path / "bomb.tar.gz"),
    ]
    reads += [
        lambda name=n: read_past(str(tmp_path / name), None) for n in ("bomb.json", "bomb.csv")
    ]
    for read in reads:
        with pytest.raises(InputError, match="GB of memory free"):
            read()


V2 = ("0::/run", "sys/fs/cgroup", "max", "current", "inactive_file")
V1 = ("4:memory:/run", "sys/fs/cgroup/memory", "limit_in_bytes", "usage_in_bytes")
V1 = (*V1, "total_inactive_file")


@pytest.mark.parametrize(("line", "mount", "limit", "usage", "cached"), [V2, V1])
@pytest.mark.parametrize("shown_as", ["run", ""])
def test_a_container_has_the_memory_that_it_may_take(
    line: str, mount: str, limit: str, usage: str, cached: str, shown_as: str, tmp_path: Path
) -> None:
    """Of either version, whether it sees its group by its path outside or as the root."""
    assert untrusted.memory_problem(2**20, tmp_path) is None
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(f"1:cpu:/else\n{line}\n")
    group = tmp_path / mount / shown_as
    group.mkdir(parents=True)
    (group / f"memory.{usage}").write_text("1300000\n")
    (group / "memory.stat").write_text(f"cache 400000\n{cached} 300000\n")
    unlimited = "max" if limit == "max" else str(2**63 - 4096)
    (group / f"memory.{limit}").write_text(unlimited)
    assert untrusted.memory_problem(2**20, tmp_path) is None
    (group / f"memory.{limit}").write_text("2000000\n")
    assert untrusted.memory_problem(500_000, tmp_path) is None
    assert "more than half of the 0.0 GB" in str(untrusted.memory_problem(600_000, tmp_path))


@pytest.mark.parametrize("manifest", [b"null", b"[]", b"[" * 100_000, b'"x"', b"9" * 5000, b"\xff"])
def test_an_archive_with_any_manifest_is_refused(tmp_path: Path, manifest: bytes) -> None:
    with tarfile.open(tmp_path / "s.tar.gz", "w:gz") as tar:
        info = tarfile.TarInfo("s/manifest.json")
        info.size = len(manifest)
        tar.addfile(info, io.BytesIO(manifest))
    with pytest.raises(InputError, match="can't be read as an archive"):
        read_archive(tmp_path / "s.tar.gz")


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE]
)
def test_an_archive_holds_plain_files_only(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "s.tar.gz", "w:gz") as tar:
        info = tarfile.TarInfo("s/a")
        info.type, info.linkname = kind, "s/a"
        tar.addfile(info)
    with pytest.raises(InputError, match="is no plain file"):
        read_archive(tmp_path / "s.tar.gz")


def test_a_header_that_unpacks_to_anything_is_not_read_whole(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "s.tar.gz", "w:gz") as tar:
        info = tarfile.TarInfo("././@LongLink")
        info.type, info.size = tarfile.GNUTYPE_LONGNAME, 20 * 2**20
        tar.addfile(info, io.BytesIO(bytes(info.size)))
    assert (tmp_path / "s.tar.gz").stat().st_size < 2**16
    with pytest.raises(InputError, match="at once"):
        read_archive(tmp_path / "s.tar.gz")
