"""Data sets: a module per registered name with `load() -> Dataset`, and users' own files."""

import logging
import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from search import registry
from search.datasets import folder, npz
from search.datasets.dataset import Dataset, from_arrays
from search.datasets.examples import some
from search.datasets.options import FILES, TABLES, Options, options_of
from search.datasets.resize import Size, resized, size_of
from search.errors import InputError
from search.failure_reason import reason_of
from search.files import plain_name
from search.records import Task
from search.text import text_problem

log = logging.getLogger(__name__)


def load(
    data: str,
    task: Task | None = None,
    *,
    label: str | None = None,
    group: str | None = None,
    time: str | None = None,
) -> Dataset:
    """Load a data set: a registered name, or the path of an .npz file, of a table (.csv, .tsv,
    .parquet) or of a folder of images by class.

    What is no registered name is a path if it ends so, has a path separator or exists: `digits` is
    the registered set, `./digits` a folder. After an @ may stand a size that images are brought to:
    `photos@64x64`; after a # of a file what `with_options` says, or a table's label:
    `table.csv#price`; what is given here goes before it.

    An .npz file holds x_train and y_train, and may hold x_test, y_test, x_val, y_val and
    class_names, as `from_arrays` takes them; `task` says what targets are where they don't. A
    folder may hold the same as .npy files, which may be larger than memory. A table is read as
    `table.from_frame` says, another folder as `folder` does.

    Raises InputError with everything that is wrong: an unknown name, no source reachable, an
    unreadable file, or arrays that break a rule. A class without test examples is told in the log.
    """
    named, text = _options_apart(data)
    options = Options(label, group, time, task).over(options_of(text))
    source, text = _apart(named)
    size = size_of(text) if text else None
    if _is_path(source):
        loaded = _load_path(source, data_name(named), size, options)
    else:
        loaded = _load_registered(source, data_name(named), size, options.task)
    if untested := _untested(loaded):
        log.warning(
            "%s: the test set has no %s of %s: what it measures says nothing of them",
            loaded.name,
            "image" if loaded.is_images else "example",
            some(untested),
        )
    return loaded


def _untested(data: Dataset) -> list[str]:
    """The classes that no test example is of, where there are both."""
    if data.task is not Task.CLASSIFICATION or not data.has_test:
        return []
    counts = np.bincount(data.y_test, minlength=data.n_classes)
    return [name for name, count in zip(data.class_names, counts, strict=True) if not count]


def sized(data: str, size: str | None) -> str:
    """What names `data` with its images brought to `size`, such as 64x64; None: as they are."""
    return data if size is None else f"{data}@{size}"


def with_options(data: str, options: Options) -> str:
    """What names `data` read by `options`, which go before those that it names already.

    Whoever loads the data by this name, or its `data_source`, needs nothing else. Raises InputError
    for options of what is no file.
    """
    if not options.text:
        return data
    source, text = _options_apart(data)
    if not _takes_options(source):
        raise InputError(
            f"DATA: {data}: --label, --group, --time and --task are for tables and arrays alone"
        )
    return f"{source}#{options.over(options_of(text)).text}"


def data_name(data: str) -> str:
    """Give the short name that studies and folders use: a path's last part without .npz, .csv
    …, fit for a path; and the size.

    A path never gets a registered name: what was found on that data says nothing about the user's
    own.
    """
    source, size = _apart(_options_apart(data)[0])
    if not _is_path(source):
        return _clean(f"{source}-{size}" if size else source)
    path = _absolute(source)
    name = _clean(path.stem if _is_file(source) else path.name)
    name = f"{name}-own" if name in registry.names(registry.DATASETS) else name
    return _clean(f"{name}-{size}") if size else name


def data_source(data: str) -> str:
    """Give what loads the data from any working folder: a registered name, or an absolute path."""
    named, text = _options_apart(data)
    source, size = _apart(named)
    if not _is_path(source):
        return data
    return with_options(sized(str(_absolute(source)), size or None), options_of(text))


def _options_apart(data: str) -> tuple[str, str]:
    """What names the data, and what is said of it after a #, if anything; a path may have a #."""
    source, mark, text = data.rpartition("#")
    if not mark or not _takes_options(source) or _absolute(data).exists():
        return data, ""
    return source, text


def _apart(data: str) -> tuple[str, str]:
    """What names the data, and the size after the @, if any; a name or path may have an @."""
    source, _, size = data.rpartition("@")
    is_whole = (
        not source
        or os.sep in size
        or data in registry.names(registry.DATASETS)
        or _absolute(data).exists()
    )
    return (data, "") if is_whole or _is_file(size) else (source, size)


def _load_registered(source: str, name: str, size: Size | None, task: Task | None) -> Dataset:
    loader = registry.load_loader(source)
    try:
        loaded = loader()
    except InputError:
        raise
    except Exception as error:  # a user's loader may raise whatever it likes
        raise InputError(f"{source}: its loader failed: {reason_of(error)}; mend it") from error
    if not isinstance(loaded, Dataset):
        raise InputError(
            f"{source}: its loader must return search.datasets.dataset.Dataset, not {type(loaded)}"
        )
    checked = from_arrays(name, loaded.arrays, loaded.class_names, task or loaded.task)
    return resized(checked, size) if size else replace(checked, columns=loaded.columns)


def _load_path(data: str, name: str, size: Size | None, options: Options) -> Dataset:
    path = _absolute(data)
    if problem := text_problem(str(path)):
        raise InputError(f"DATA: {data!r}: a path {problem}, or rename it")
    if path.is_dir() and not _is_file(data):
        if not npz.is_folder_of_arrays(path):
            return folder.load(path, name, size)
        mapped = npz.load_folder(path, name, options.task)
        return resized(mapped, size) if size else mapped
    if path.is_file() and _is_file(data):
        load_file = _load_table if data.lower().endswith(TABLES) else _load_npz
        read = load_file(path, name, options)
        return resized(read, size) if size else read
    if path.is_file():
        raise InputError(
            f"DATA: {data}: neither an .npz file, a table ({', '.join(TABLES)}) nor a folder;"
            " unpack an archive and give its folder"
        )
    near = registry.nearest(path.stem, registry.names(registry.DATASETS))
    kind = "file" if _is_file(data) else "folder"
    raise InputError(
        f"DATA: {data}: no such {kind}; check the path, or give a registered name: {near}"
    )


def _load_table(path: Path, name: str, options: Options) -> Dataset:
    from search.datasets import table  # noqa: PLC0415  pandas takes a second, for tables only

    return table.load(path, name, options)


def _load_npz(path: Path, name: str, options: Options) -> Dataset:
    columns = [key for key in ("label", "group", "time") if getattr(options, key)]
    if columns:
        raise InputError(f"{path}: --{columns[0]} names a column of a table, which this is not")
    return npz.load(path, name, task=options.task)


def _takes_options(source: str) -> bool:
    return _is_file(source) or npz.is_folder_of_arrays(_absolute(source))


def _is_path(data: str) -> bool:
    if data in registry.names(registry.DATASETS):
        return False
    separators = {os.sep, os.altsep or os.sep}
    return (
        _is_file(data)
        or not separators.isdisjoint(data)
        or (data != "" and _absolute(data).exists())
    )


def _is_file(data: str) -> bool:
    return data.lower().endswith(FILES)


def _absolute(data: str) -> Path:
    """Without `..`, whose folder has another name; links are kept: they are the user's choice."""
    return Path(os.path.abspath(os.path.expanduser(data)))


def _clean(name: str) -> str:
    return plain_name(name).strip("-.") or "data"
