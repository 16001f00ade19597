"""A study as one .tar.gz file: what people look at, and all that the storage holds of it, to be
read again.

Below the study's name (and below `<study>.final` for its finalists) lie the files of its folder
without logs and checkpoints; its evidence; record.jsonl, as `search.study.storage.jsonl` writes it;
and manifest.json with the SHA-256 of every file.
"""

import gzip
import hashlib
import io
import json
import tarfile
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, cast

from search.artifacts import join, reading, sizes_below
from search.errors import InputError
from search.files import whole_file
from search.paths import artifacts, home
from search.records import StudyRecord
from search.study.environment import code_version
from search.study.storage.jsonl import read_lines, study_lines
from search.study.storage.optuna_storage import LedgerStorage
from search.study.storage.read import StoredStudy
from search.untrusted import check_memory, opened, parse_json

SCHEMA = "gridless.archive/1"
SUFFIXES = (".tar.gz", ".tgz")
RECORD, MANIFEST = "record.jsonl", "manifest.json"
LEFT_OUT = ("checkpoints", "logs")
"""Of no use once no trial goes on."""
_KEPT = "nothing was removed"
# What a file that is cut short, altered or none makes tarfile, gzip and zlib raise.
_DAMAGE = (
    tarfile.TarError,
    zlib.error,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    OverflowError,
    RecursionError,
)
_MAX_FILES = 100_000
_MAX_READ = 16 * 2**20
"""The most that is read at once: what an archive holds may unpack to any size."""
_GROWTH = 10
"""How many times its size a record takes once it is read."""


def write_archive(storage: LedgerStorage, studies: Sequence[StoredStudy], path: Path) -> int:
    """Write `studies`, a study and that of its finalists, to `path`, read all of it again, and
    return its bytes.

    A file that is there already stays if it is whole and holds just what the storage does now:
    whoever wrote it was interrupted before the next step. Raises InputError when another file is
    there, the new one can't be written, or what was written is not what was read; nothing is left
    at `path` then.
    """
    records = {f"{s.name}/{RECORD}": b"".join(study_lines(storage, s)) for s in studies}
    if path.exists():
        if _holds(path, records):
            return path.stat().st_size
        raise InputError(f"{path} exists; remove it, or name another file with --to")
    try:
        with whole_file(path) as file:
            digests = _pack(records, [s.name for s in studies], file)
            n_bytes = file.tell()
            if _digests(file) != digests:
                raise InputError(
                    f"{path}: what was written is not what was read: is the disk sound? {_KEPT}"
                )
    except OSError as error:
        rule = f"{path} can't be written ({error.strerror or error})"
        raise InputError(f"{rule}; make room, or name another place with --to; {_KEPT}") from error
    return n_bytes


def read_archive(path: Path) -> dict[str, StudyRecord]:
    """The studies in the archive at `path` by name. Raises InputError if it can't be read."""
    try:
        with opened(path) as file:
            return _read(file)[0]
    except (OSError, InputError, *_DAMAGE) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"{path} can't be read as an archive of a study ({reason}); take another copy"
        ) from error


def _holds(path: Path, records: Mapping[str, bytes]) -> bool:
    """Whether the file at `path` is a whole archive of just these records."""
    with opened(path) as file:
        digests = _digests(file) or {}
    record_digests = {
        name: digest for name, digest in digests.items() if name.endswith(f"/{RECORD}")
    }
    return record_digests == {
        name: hashlib.sha256(record).hexdigest() for name, record in records.items()
    }


def _digests(file: IO[bytes]) -> dict[str, str] | None:
    """The SHA-256 of every file in an archive, None if it is damaged."""
    file.seek(0)
    try:
        return _read(file)[1]
    except (InputError, gzip.BadGzipFile, *_DAMAGE):
        return None


def _pack(records: Mapping[str, bytes], studies: Sequence[str], file: IO[bytes]) -> dict[str, str]:
    """Write the archive to `file`; the SHA-256 of what was read, by member."""
    digests: dict[str, str] = {}
    with tarfile.open(fileobj=file, mode="w:gz", compresslevel=6) as tar:
        for name, record in records.items():
            _add(tar, name, io.BytesIO(record), digests)
        for study in studies:
            for name, location in _files(study).items():
                with reading(location) as source:
                    _add(tar, f"{study}/{name}", source, digests)
        manifest = {
            "schema": SCHEMA,
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
            "gridless": code_version(),
            "sha256": digests,
        }
        _add(
            tar, f"{studies[0]}/{MANIFEST}", io.BytesIO(json.dumps(manifest, indent=1).encode()), {}
        )
    return digests


def _files(study: str) -> dict[str, str]:
    """Every file of a study that is packed, by its name in the archive, with where it is."""
    folder, evidence = str(home() / study), join(artifacts(study), "evidence")
    files = {
        name: join(folder, name)
        for name in sizes_below(folder)
        if name.partition("/")[0] not in LEFT_OUT
    }
    kept = {f"evidence/{name}": join(evidence, name) for name in sizes_below(evidence)}
    return {name: place for name, place in (files | kept).items() if name not in {RECORD, MANIFEST}}


def _add(tar: tarfile.TarFile, name: str, source: IO[bytes], digests: dict[str, str]) -> None:
    info = tarfile.TarInfo(name)
    info.size = source.seek(0, io.SEEK_END)
    info.mtime = int(time.time())
    source.seek(0)
    digested = _Digested(source)
    tar.addfile(info, digested)
    digests[name] = digested.digest.hexdigest()


class _Digested:
    """A file whose SHA-256 is taken as it is read."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self.digest = hashlib.sha256()

    def __iter__(self) -> Iterator[bytes]:
        for line in self._source:
            self.digest.update(line)
            yield line

    def read(self, n: int = -1) -> bytes:
        data = self._source.read(n)
        self.digest.update(data)
        return data


class _Bounded:
    """A file that gives no more at once than _MAX_READ bytes."""

    def __init__(self, source: gzip.GzipFile) -> None:
        self.seek, self.tell, self._source = source.seek, source.tell, source

    def read(self, n: int = -1) -> bytes:
        if not 0 <= n <= _MAX_READ:
            raise ValueError(f"{n:,} bytes are to be read at once")
        return self._source.read(n)


def _read(file: IO[bytes]) -> tuple[dict[str, StudyRecord], dict[str, str]]:
    """An archive's studies, and the SHA-256 of its files. Raises InputError or of `_DAMAGE`."""
    studies: dict[str, StudyRecord] = {}
    digests: dict[str, str] = {}
    manifest: Any = {}
    bounded = cast(IO[bytes], _Bounded(gzip.GzipFile(fileobj=file)))
    with tarfile.open(fileobj=bounded, mode="r:") as tar:
        for n_files, info in enumerate(tar):
            member = tar.extractfile(info) if info.isreg() else None
            if member is None or n_files > _MAX_FILES:
                raise ValueError(
                    f"{info.name} is no plain file"
                    if member is None
                    else f"over {_MAX_FILES:,} files"
                )
            if info.name.endswith(f"/{MANIFEST}"):
                check_memory(info.size * _GROWTH, "its manifest")
                manifest = parse_json(member.read())
                continue
            digested = _Digested(member)
            if info.name.count("/") == 1 and info.name.endswith(f"/{RECORD}"):
                check_memory(info.size * _GROWTH, "its record")
                study = read_lines(digested)
                studies[study.name] = study
            while digested.read(2**20):
                pass
            digests[info.name] = digested.digest.hexdigest()
    if not isinstance(manifest, dict):
        raise ValueError("its manifest is no mapping")
    if manifest.get("schema") != SCHEMA:
        raise ValueError(f"its schema is {manifest.get('schema')!r}, here {SCHEMA!r} is read")
    if manifest["sha256"] != digests or not studies:
        raise ValueError("its files are not those of its manifest")
    return studies, digests
