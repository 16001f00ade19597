"""A folder of images by class, as a data set.

Two layouts: train/<class>/* with test/<class>/*, val/<class>/* or both; or <class>/* alone, of
which a fixed stratified sixth is the test part. The classes are the folders' names, sorted. Files
are taken in the order of their names, so that the digest is the same on any machine; hidden ones
are passed over, and what archivers leave (__MACOSX).
"""

import itertools
import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from search.datasets import pictures
from search.datasets.dataset import Array, Dataset, from_arrays
from search.datasets.examples import some
from search.datasets.folder_layout import (
    class_problems,
    names_below,
    parts_of,
    split_files,
)
from search.datasets.pictures import Header
from search.datasets.resize import Size, too_large
from search.errors import InputError

log = logging.getLogger(__name__)

LOG_EVERY = 10_000
DEFAULT_SIZE = (64, 64)
"""Proposed (width, height) where the images suggest none."""


@dataclass
class _Read:
    """What reading images brought; pixels are whole if `sizes` has one entry and none failed."""

    sizes: dict[tuple[int, int], list[Path]] = field(default_factory=lambda: defaultdict(list))
    """(width, height) → files."""
    failed: list[str] = field(default_factory=list)


def load(folder: Path, name: str, size: Size | None = None) -> Dataset:
    """Load the images below `folder` (absolute): uint8 with one channel if every file is grey, else
    RGB; uint16 with one channel if every file has 16 bits.

    With a `size` all are brought to it. Raises InputError with every problem: classes without or
    with too few images, files that can't be read, images of different sizes, and more of them than
    half of the memory holds.
    """
    parts = parts_of(folder)
    problems = class_problems(folder, parts)
    files: list[Path] = []
    for classes in parts.values():
        files += itertools.chain(*classes.values())
    log.info("reading %s images from %s", f"{len(files):,}", folder)
    kind, memory_problem = _look(folder, files, size)
    if memory_problem:
        raise InputError([*problems, memory_problem])
    read = _Read()
    if problems:  # there is no knowing which images are whose, but each can be looked at
        _pixels(files, read, kind=kind, size=size)
        raise InputError([*problems, *_image_problems(folder, read)])
    arrays: dict[str, Array] = {}
    for part, (paths, labels) in split_files(parts).items():
        arrays |= {f"x_{part}": _pixels(paths, read, kind=kind, size=size), f"y_{part}": labels}
    if problems := _image_problems(folder, read):
        raise InputError(problems)
    return from_arrays(name, arrays, list(next(iter(parts.values()))))


def _look(folder: Path, files: Sequence[Path], size: Size | None) -> tuple[Header, str | None]:
    """What all images have in common, and what is wrong if there is too little memory for them.

    An image that can't be read is passed over: it is reported when it is decoded.
    """
    n_pixels, grey, deep = 0, True, True
    for path in files:
        try:
            header = pictures.header(path)
        except InputError:
            continue
        n_pixels, grey = max(n_pixels, header.n_pixels), grey and header.grey
        deep = deep and header.deep
    n_pixels = size[0] * size[1] if size else n_pixels
    problem = too_large(len(files), n_pixels * (1 if grey else 3) * (2 if deep else 1))
    remedy = f"bring them to {'a smaller' if size else 'one'} size, such as {_resize(DEFAULT_SIZE)}"
    kind = Header(n_pixels, grey, deep and n_pixels > 0)
    return kind, problem and f"{folder}: at up to {n_pixels:,} pixels each {problem}; {remedy}"


def _pixels(paths: Sequence[Path], read: _Read, *, kind: Header, size: Size | None) -> Array:
    """Decode `paths` into one array of the first image's shape; `read` notes sizes and failures."""
    array: Array | None = None
    for i, path in enumerate(paths):
        if i and i % LOG_EVERY == 0:
            log.info("read %s of %s", f"{i:,}", f"{len(paths):,}")
        try:
            image = pictures.pixels(path, grey=kind.grey, deep=kind.deep, size=size)
        except InputError as error:
            read.failed.append(f"{path} ({error})")
            continue
        read.sizes[image.shape[1], image.shape[0]].append(path)
        if array is None:
            array = np.empty((len(paths), *image.shape), image.dtype)
        if image.shape == array.shape[1:]:
            array[i] = image
    return np.empty((0, 1, 1, 1), np.uint8) if array is None else array


def _image_problems(folder: Path, read: _Read) -> list[str]:
    problems = []
    if read.failed:
        problems.append(
            f"{folder}: {len(read.failed)} files can't be read; mend or remove them:"
            f" {some(read.failed)}"
        )
    if len(read.sizes) > 1:
        most_first = sorted(read.sizes.items(), key=lambda item: -len(item[1]))
        total = sum(len(paths) for paths in read.sizes.values())
        size = most_first[0][0] if len(most_first[0][1]) > total / 2 else DEFAULT_SIZE
        sizes = [
            f"{w}×{h} ({len(paths):,}: {names_below(folder, paths, 3)})"
            for (w, h), paths in most_first
        ]
        problems.append(
            f"{folder}: all images must have one size (width×height), not {len(sizes)}:"
            f" {some(sizes)}; bring them to one by {_resize(size)}"
        )
    return problems


def _resize(size: Size) -> str:
    return f"--resize {size[0]}x{size[1]}"
