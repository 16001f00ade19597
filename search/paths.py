"""Where things are, as the environment says."""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any
from uuid import uuid4

from search.artifacts import join, reading, remove, whole
from search.errors import InputError
from search.secret import masked

MIN_FREE_MB = 100


def home() -> Path:
    """The folder of everything that runs write: GRIDLESS_HOME, or runs/ in the working folder."""
    return Path(os.environ.get("GRIDLESS_HOME") or "runs").absolute()


def home_id() -> str:
    """What tells this home folder from others, on other machines, too; a file in it keeps it."""
    file = home() / ".id"
    with contextlib.suppress(FileNotFoundError):
        return file.read_text(encoding="ascii")
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".id.{uuid4().hex}")
    draft.write_text(uuid4().hex, encoding="ascii")
    with contextlib.suppress(FileExistsError):  # another process was faster
        file.hardlink_to(draft)
    draft.unlink()
    return file.read_text(encoding="ascii")


def storage_url() -> str:
    """The studies' database: GRIDLESS_STORAGE, or an SQLite file in the home folder.

    The password in the file GRIDLESS_STORAGE_PASSWORD_FILE, if that is set, or PGPASSWORD is put
    into the URL: workers, which get the URL, go without these variables. Raises InputError when
    there is no such file, it is empty, or the database knows no passwords.
    """
    url = os.environ.get("GRIDLESS_STORAGE") or f"sqlite:///{home() / 'studies.db'}"
    file = os.environ.get("GRIDLESS_STORAGE_PASSWORD_FILE")
    if file:
        return _with_password_of(Path(file), url)
    password = os.environ.get("PGPASSWORD")
    return _with_password(url, password) if password and url.startswith("postgres") else url


def artifacts(study: str) -> str:
    """The folder of a study's checkpoints and evidence: under GRIDLESS_ARTIFACTS, which is a folder
    or the URL of a store that all workers reach, or in the home folder.
    """
    return join(_artifacts_root(), study)


def cache() -> Path:
    """Prepared data sets, safe to delete."""
    return home() / ".cache"


def check_home() -> str | None:
    """What is wrong with the home folder, or None when it can be written and has room."""
    folder = home()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0" * 65536)
    except OSError as error:
        return (
            f"{folder} can't be written ({error.strerror or error}); free it or set GRIDLESS_HOME"
            " to another folder"
        )
    return room_problem()


def room_problem() -> str | None:
    """What to tell of a home folder with too little room for trials; None if it has enough."""
    folder = home()
    with contextlib.suppress(FileNotFoundError):
        free_mb = shutil.disk_usage(folder).free // 2**20
        if free_mb < MIN_FREE_MB:
            return (
                f"{folder} has only {free_mb} MB free, at least {MIN_FREE_MB} MB are needed; "
                "make room or set GRIDLESS_HOME to another folder"
            )
    return None


def check_artifacts() -> str | None:
    """What is wrong with GRIDLESS_ARTIFACTS; None when files can be written, read and removed."""
    root = _artifacts_root()
    remedy = (
        "check its name, your rights and the network, or set GRIDLESS_ARTIFACTS to another folder"
        " or store"
    )
    try:
        sound = _gives_back(join(root, f".gridless-check-{uuid4().hex}"))
    except InputError as error:
        return f"GRIDLESS_ARTIFACTS: {error}"
    except OSError as error:
        return (
            f"GRIDLESS_ARTIFACTS: {masked(root)} can't be used ({error.strerror or error});"
            f" {remedy}"
        )
    return (
        None
        if sound
        else f"GRIDLESS_ARTIFACTS: {masked(root)} does not give back what was written; {remedy}"
    )


def _gives_back(location: str) -> bool:
    with whole(location) as file:
        file.write(b"gridless")
    with reading(location) as file:
        content = file.read()
    remove(location)
    # Some stores answer "forbidden" instead of "not there", and every trial begins by looking for a
    # checkpoint.
    with contextlib.suppress(FileNotFoundError), reading(location):
        return False
    return content == b"gridless"


def _artifacts_root() -> str:
    root = os.environ.get("GRIDLESS_ARTIFACTS")
    if root and "://" in root:
        return root
    return str(Path(root).absolute() if root else home())


def _with_password_of(file: Path, url: str) -> str:
    named = f"GRIDLESS_STORAGE_PASSWORD_FILE: {file}"
    try:
        password = file.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{named} can't be read ({error}); give a file with the password, or unset it"
        ) from error
    if not password:
        raise InputError(f"{named} is empty; write the password into it, or unset it")
    parsed = _parsed(url)
    if parsed is None:
        return url
    if parsed.get_backend_name() == "sqlite":
        rule = (
            f"{named} is for a database server, but the studies are in the file {parsed.database}"
        )
        raise InputError(f"{rule}; set GRIDLESS_STORAGE to postgresql://…, or unset it")
    return str(parsed.set(password=password).render_as_string(hide_password=False))


def _with_password(url: str, password: str) -> str:
    parsed = _parsed(url)
    if parsed is None or parsed.password is not None or "password" in parsed.query:
        return url
    return str(parsed.set(password=password).render_as_string(hide_password=False))


def _parsed(url: str) -> Any:
    """SQLAlchemy's URL; None for one that it refuses: whoever opens it says why."""
    import sqlalchemy as sa  # noqa: PLC0415  # takes longer to load than --help may

    try:
        return sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        return None
