"""Whole files at a place that is a path of this machine or the URL of a store that many hosts
reach.

A store is whatever fsspec knows (s3://, gs://, abfs://, sftp://, …), with its own settings: AWS_*
and the like, or FSSPEC_<PROTOCOL>_<SETTING>. Packages for it are loaded when its first file is
touched.
"""

import contextlib
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from search.errors import InputError
from search.files import remove_file, whole_file
from search.secret import masked, redacted

_IN_MEMORY = 16 * 2**20


def join(root: str | Path, *names: str) -> str:
    """The location of the file or folder `names` under `root`."""
    return "/".join([str(root).rstrip("/"), *names])


@contextlib.contextmanager
def whole(location: str | Path) -> Iterator[IO[bytes]]:
    """Open `location` for writing (and seeking, and reading back): readers meet the old file or the
    whole new one.

    Makes its folder. Raises OSError when it can't be written (PermissionError; ConnectionError when
    a store is out of reach or fails), the old file then unchanged, and InputError when the store
    isn't known or a package is missing.
    """
    if path := _local(location):
        with whole_file(path) as file:
            yield file
        return
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as part:
        yield part
        part.seek(0)
        with _store(location) as (store, place):
            _upload(part, store, place)


@contextlib.contextmanager
def reading(location: str | Path) -> Iterator[IO[bytes]]:
    """Open `location` for reading and seeking. Raises as `whole` does, and FileNotFoundError."""
    if path := _local(location):
        with path.open("rb") as file:
            yield file
        return
    with tempfile.NamedTemporaryFile(prefix="gridless-") as copy:
        with _store(location) as (store, place):
            store.get_file(place, copy.name)
        yield copy


def exists(location: str | Path) -> bool:
    """Whether there is a file at `location`. Raises as `whole` does."""
    if path := _local(location):
        return path.exists()
    with _store(location) as (store, place):
        return bool(store.exists(place))


def remove(location: str | Path) -> None:
    """Remove the file at `location`, if there is one. Raises as `whole` does."""
    if path := _local(location):
        remove_file(path)
        return
    with contextlib.suppress(FileNotFoundError), _store(location) as (store, place):
        store.rm_file(place)


def remove_tree(location: str | Path) -> None:
    """Remove the folder `location` with all in it, if there is one. Raises as `whole` does."""
    with contextlib.suppress(FileNotFoundError):
        if path := _local(location):
            shutil.rmtree(path)
            return
        with _store(location) as (store, place):
            store.invalidate_cache()  # other hosts have written there since it was listed
            store.rm(place, recursive=True)


def sizes_below(location: str | Path) -> dict[str, int]:
    """Every plain file below the folder `location`, by its path from there, with the bytes that it
    takes on the disk.

    Empty when there is no such folder; links are left out. Raises OSError (ConnectionError when a
    store is out of reach), and InputError when the store isn't known or a package is missing.
    """
    if path := _local(location):
        return dict(sorted(_on_disk(path)))
    with _store(location) as (store, place):
        store.invalidate_cache()  # other hosts have written there since it was listed
        files = store.find(place, detail=True)
    return {
        name.removeprefix(place).lstrip("/"): int(about["size"] or 0)
        for name, about in sorted(files.items())
    }


def _on_disk(folder: Path) -> list[tuple[str, int]]:
    sizes = []
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # written anew, or gone, while we look
            about = path.lstat()
            if stat.S_ISREG(about.st_mode):
                sizes.append((str(path.relative_to(folder)), about.st_blocks * 512))
    return sizes


def _local(location: str | Path) -> Path | None:
    """The path that `location` names on this machine, or None for a store."""
    protocol, url, rest = str(location).partition("://")
    if not url:
        return Path(location)
    return Path(rest) if protocol in {"file", "local"} else None


@contextlib.contextmanager
def _store(location: str | Path) -> Iterator[tuple[Any, str]]:
    """The store and the path in it that `location` names; its packages raise OSError inside."""
    try:
        import fsspec  # noqa: PLC0415  # not needed for files of this machine

        store, place = fsspec.url_to_fs(str(location))
    except ImportError as error:
        package = getattr(error.__cause__ or error, "name", None)
        remedy = f"run: pip install {package}" if package else "install its package"
        rule = f"{masked(location)} can't be used"
        raise InputError(f"{rule}: {redacted(str(error), str(location))}; {remedy}") from error
    except ValueError as error:
        rule = f"{masked(location)} is neither a path nor a URL of a store that fsspec knows"
        raise InputError(
            f"{rule}: {redacted(str(error), str(location))}; mend GRIDLESS_ARTIFACTS"
        ) from error
    except Exception as error:  # some stores are connected to at once
        raise _failed(location, error) from error
    try:
        yield store, place
    except (FileNotFoundError, PermissionError):
        raise
    except (
        Exception
    ) as error:  # each store has a family of its own: botocore's, aiohttp's, Azure's, paramiko's
        raise _failed(location, error) from error


def _failed(location: str | Path, error: Exception) -> ConnectionError:
    text = redacted(f"{type(error).__name__}: {error}", str(location))
    return ConnectionError(f"{masked(location)}: {text}")


def _upload(part: IO[bytes], store: Any, place: str) -> None:
    try:
        _put(part, store, place)
    except FileNotFoundError:  # an object store has no folders; others want them made
        store.makedirs(store._parent(place), exist_ok=True)
        part.seek(0)
        _put(part, store, place)


def _put(part: IO[bytes], store: Any, place: str) -> None:
    # A transaction is fsspec's name for what each store does best: an upload that shows only once
    # it is complete, or a file of another name that is moved.
    with store.transaction, store.open(place, "wb") as target:
        shutil.copyfileobj(part, target, 2**20)
