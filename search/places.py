"""Where things are on this machine, as the environment says."""

import os
import shutil
import tempfile
from pathlib import Path

MIN_FREE_MB = 100


def home() -> Path:
    """The folder of everything that runs write: GRIDLESS_HOME, or runs/ in the working folder."""
    return Path(os.environ.get("GRIDLESS_HOME") or "runs").absolute()


def storage_url() -> str:
    """The studies' database: GRIDLESS_STORAGE, or an SQLite file in the home folder."""
    return os.environ.get("GRIDLESS_STORAGE") or f"sqlite:///{home() / 'studies.db'}"


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
        return f"{folder} can't be written ({error.strerror or error}); free it or set GRIDLESS_HOME to another folder"
    free_mb = shutil.disk_usage(folder).free // 2**20
    if free_mb < MIN_FREE_MB:
        return (
            f"{folder} has only {free_mb} MB free, at least {MIN_FREE_MB} MB are needed; "
            "make room or set GRIDLESS_HOME to another folder"
        )
    return None
