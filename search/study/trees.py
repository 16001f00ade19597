"""The files below a folder, which is a path of this machine or in a store that many hosts reach."""

import stat
from contextlib import suppress
from pathlib import Path

from search.artifacts import _local, _store


def sizes_below(location: str | Path) -> dict[str, int]:
    """Every plain file below the folder `location`, by its path from there, with the bytes that it takes on the disk.

    Empty when there is no such folder; links are left out. Raises OSError (ConnectionError when a store is out of
    reach), and InputError when the store isn't known or a package is missing.
    """
    if path := _local(location):
        return dict(sorted(_on_disk(path)))
    with _store(location) as (store, place):
        store.invalidate_cache()  # other hosts have written there since it was listed
        found = store.find(place, detail=True)
    return {name.removeprefix(place).lstrip("/"): int(about["size"] or 0) for name, about in sorted(found.items())}


def _on_disk(folder: Path) -> list[tuple[str, int]]:
    found = []
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # written anew, or gone, while we look
            about = path.lstat()
            if stat.S_ISREG(about.st_mode):
                found.append((str(path.relative_to(folder)), about.st_blocks * 512))
    return found
