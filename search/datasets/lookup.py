"""Where a named data set comes from: sources are tried in order until one gives the known content.

Nothing here writes outside `$GRIDLESS_HOME`; in particular a user's Keras cache is only read.
"""

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from search.datasets import npz
from search.datasets.dataset import ARRAYS, Arrays, Dataset, from_arrays
from search.datasets.facts import Facts
from search.errors import InputError
from search.paths import cache

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """One place to look in. `read` returns the raw arrays, or raises InputError to say why not."""

    label: str
    read: Callable[[], Arrays]
    keep: bool = False
    """Whether to keep the result in our cache, because reading it again would be slow."""


def keras_home() -> Path:
    """Keras' own folder: `$KERAS_HOME`, by default `~/.keras`."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")


def first(
    name: str,
    facts: Facts,
    sources: Sequence[Source],
    *,
    digest: str | None,
    class_names: Sequence[str],
    remedy: str = "",
) -> Dataset:
    """Load data set `name` from `$GRIDLESS_DATA/<name>.npz`, our cache, or the first of `sources`
    that works.

    The user's own file must have the image shape and the number of classes of `facts`; beyond that
    it is taken as it is, with a warning in the log when its content is not the known one. Any other
    source must have the content whose `Dataset.digest` is `digest`. Where none is known it is
    None: then each source must check its file itself, and only shape and classes are checked here.

    Raises InputError when the user's own file is there but broken or another kind of data, and when
    no source works: then it names all of them, each with its reason, and what to do; `remedy` adds
    to that.
    """
    user_file = _user_file(name)
    if user_file is None:
        tried = [f"$GRIDLESS_DATA/{name}.npz: GRIDLESS_DATA is not set"]
    elif user_file.exists():
        return _users(user_file, name, facts, digest, class_names)
    else:
        tried = [f"$GRIDLESS_DATA/{name}.npz: no such file"]
    kept = cache() / f"{name}.npz"
    for source in (Source("our cache", lambda: npz.read(kept)), *sources):
        try:
            data = from_arrays(name, source.read(), class_names)
        except InputError as error:
            tried.append(f"{source.label}: {'; '.join(error.problems)}")
            continue
        if problem := _unlike(data, facts) or (digest and _differs(data, digest)):
            tried.append(f"{source.label}: its content is not the known one ({problem}); not used")
            continue
        if source.keep:
            _keep(kept, data)
        return data
    raise InputError(
        [
            (
                f"{name}: no source of the data works; save {', '.join(ARRAYS)} as {name}.npz in a"
                " folder and set GRIDLESS_DATA to it, or connect this machine to the"
                f" network{remedy}, or take DATA=digits"
            ),
            *(f"tried {line}" for line in tried),
        ]
    )


def _user_file(name: str) -> Path | None:
    folder = os.environ.get("GRIDLESS_DATA")
    return Path(folder).expanduser() / f"{name}.npz" if folder else None


def _users(
    path: Path, name: str, facts: Facts, digest: str | None, class_names: Sequence[str]
) -> Dataset:
    data = npz.load(path, name, class_names)
    if problem := _unlike(data, facts):
        raise InputError(
            f"{path}: it is no {name}: {problem}; to use it as what it is give DATA={path}, "
            f"or mend or remove the file to use {name}"
        )
    if digest is None:
        log.warning(
            "%s is used as %s; whether its content is the original can't be checked", path, name
        )
    elif problem := _differs(data, digest):
        log.warning("%s is used as %s, but its content is another (%s)", path, name, problem)
    return data


def _unlike(data: Dataset, facts: Facts) -> str | None:
    """How the data's form differs from `facts`, or None."""
    form = _form(data.input_shape, data.n_classes)
    expected = _form(facts.input_shape, facts.n_classes)
    return None if form == expected else f"{form}, known {expected}"


def _form(shape: tuple[int, ...], n_classes: int) -> str:
    return f"images {'×'.join(map(str, shape))} in {n_classes} classes"


def _differs(data: Dataset, digest: str) -> str | None:
    return None if data.digest == digest else f"digest {data.digest[:12]}, known {digest[:12]}"


def _keep(path: Path, data: Dataset) -> None:
    try:
        npz.save(path, data)
    except OSError as error:
        raise InputError(
            f"GRIDLESS_HOME: {path} can't be written ({error}); free space or choose another folder"
        ) from error
