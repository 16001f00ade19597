"""A folder of images by class, as a data set.

Two layouts: train/<class>/* with test/<class>/*; or <class>/* alone, of which a fixed stratified
sixth is the test part. The classes are the folders' names, sorted. Files are taken in the order of
their names, so that the digest is the same on any machine; hidden ones are passed over, and what
archivers leave (__MACOSX).
"""

import logging
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from search.datasets import pictures
from search.datasets.image_data import Array, ImageData, from_arrays, some
from search.datasets.resize import Size, too_large
from search.datasets.stratify import stratified
from search.errors import InputError

log = logging.getLogger(__name__)

TEST_FRACTION = 1 / 6
LOG_EVERY = 10_000
DEFAULT_SIZE = (64, 64)
"""Proposed (width, height) where the images suggest none."""

_LITTER = frozenset(
    {"__MACOSX", "@eaDir", "lost+found", "$RECYCLE.BIN", "System Volume Information"}
)
"""Folders that archivers and file systems leave beside a user's own; not read."""

_Classes = Mapping[str, Sequence[Path]]
"""Class name → its image files; both sorted."""

_LEAST = {
    "train": (2, "one of them to validate on"),
    "test": (0, ""),
    "all": (3, "one of them to test and one to validate on"),
}
"""Images that each class must have, and why."""


class _Listing(NamedTuple):
    """The visible entries of a folder, sorted by name."""

    folders: list[Path]
    images: list[Path]
    others: list[Path]


@dataclass
class _Read:
    """What reading images brought; pixels are whole if `sizes` has one entry and none failed."""

    sizes: dict[tuple[int, int], list[Path]] = field(default_factory=lambda: defaultdict(list))
    """(width, height) → files."""
    failed: list[str] = field(default_factory=list)


def load(folder: Path, name: str, size: Size | None = None) -> ImageData:
    """Load the images below `folder` (absolute): uint8 with one channel if every file is grey, else
    RGB.

    With a `size` all are brought to it. Raises InputError with every problem: classes without or
    with too few images, files that can't be read, images of different sizes, and more of them than
    half of the memory holds.
    """
    parts = _parts(folder)
    class_problems = _class_problems(folder, parts)
    files = [path for classes in parts.values() for images in classes.values() for path in images]
    log.info("reading %s images from %s", f"{len(files):,}", folder)
    grey, memory_problem = _look(folder, files, size)
    if memory_problem:
        raise InputError([*class_problems, memory_problem])
    read = _Read()
    if class_problems:  # there is no knowing which images are whose, but each can be looked at
        _pixels(files, read, grey=grey, size=size)
        raise InputError([*class_problems, *_image_problems(folder, read)])
    arrays: dict[str, Array] = {}
    for part, (paths, labels) in _split(parts).items():
        arrays |= {f"x_{part}": _pixels(paths, read, grey=grey, size=size), f"y_{part}": labels}
    if problems := _image_problems(folder, read):
        raise InputError(problems)
    return from_arrays(name, arrays, list(next(iter(parts.values()))))


def _parts(folder: Path) -> dict[str, _Classes]:
    """The classes of each part: "train" and "test", or "all" where they are not apart."""
    top = _list(folder)
    roots = _roots(folder, top)
    parts: dict[str, _Classes] = {}
    left = [*top.images, *top.others]
    if roots:
        left += [path for path in top.folders if path not in roots.values()]
    for part, root in (roots or {"all": folder}).items():
        listing = _list(root)
        inside = {path.name: _list(path) for path in listing.folders}
        left += [path for each in inside.values() for path in (*each.folders, *each.others)]
        if roots:
            left += [*listing.images, *listing.others]
        parts[part] = {label: each.images for label, each in inside.items()}
    if roots:  # labels are numbered by all classes, whether or not there are images to test them on
        untested = {label: () for label in parts["train"] if label not in parts["test"]}
        parts["test"] = dict(sorted({**parts["test"], **untested}.items()))
    if left:
        links = (
            "; links to folders are not followed"
            if any(p.is_symlink() and p.is_dir() for p in left)
            else ""
        )
        log.warning(
            "%s: left out, being no image of a class: %s%s", folder, _names(folder, left), links
        )
    return parts


def _roots(folder: Path, top: _Listing) -> dict[str, Path]:
    """The folders "train" and "test"; none without them, where one may be a class's name."""
    named = {path.name.lower(): path for path in top.folders}
    roots: dict[str, Path] = {part: named[part] for part in ("train", "test") if part in named}
    if len(roots) == 2:
        return roots
    for part, root in roots.items():
        if _list(root).folders:
            other = {"train": "test", "test": "train"}[part]
            raise InputError(
                f"{folder}: it has {root.name} but no {other}; add {other}/<class>/ with the same"
                f" classes, or give DATA={root}, of which a sixth is set aside as the test part"
            )
    return {}


def _list(folder: Path) -> _Listing:
    listing = _Listing([], [], [])
    try:
        for path in sorted(folder.iterdir(), key=lambda p: p.name):
            if not path.name.startswith(".") and path.name not in _LITTER:
                is_image = path.suffix.lower() in pictures.SUFFIXES
                # A link to a folder may lead anywhere, to a folder above it as well.
                is_folder = path.is_dir() and not path.is_symlink()
                if is_folder:
                    listing.folders.append(path)
                elif is_image:
                    listing.images.append(path)
                else:
                    listing.others.append(path)
    except OSError as error:
        raise InputError(f"{folder} can't be read ({error.strerror or error})") from error
    return listing


def _class_problems(folder: Path, parts: Mapping[str, _Classes]) -> list[str]:
    layout = (
        "put the images in <class>/ folders, or in train/<class>/ and test/<class>/; deeper ones"
        " are not read"
    )
    problems = []
    if "all" not in parts and (missing := sorted(set(parts["test"]) - set(parts["train"]))):
        problems.append(
            f"{folder}: train must have the classes of test, but lacks {some(missing)}; "
            "add images of them, or remove them from test"
        )
    if "all" not in parts and not any(parts["test"].values()):
        problems.append(f"{folder}: test has no images; {layout}")
    for part, classes in parts.items():
        where = folder if part == "all" else folder / part
        if len(classes) < 2:
            problems.append(
                f"{where}: {len(classes)} class folders, but a classifier needs at least 2;"
                f" {layout}"
            )
        least, reason = _LEAST[part]
        if few := [
            f"{label} ({len(images)})" for label, images in classes.items() if len(images) < least
        ]:
            problems.append(
                f"{where}: each class needs at least {least} images, {reason}; with fewer:"
                f" {some(few)}; {layout}"
            )
    return problems


def _look(folder: Path, files: Sequence[Path], size: Size | None) -> tuple[bool, str | None]:
    """Whether all images are grey, and what is wrong if there is too little memory for them.

    An image that can't be read is passed over: it is reported when it is decoded.
    """
    n_pixels, grey = 0, True
    for path in files:
        try:
            header = pictures.header(path)
        except InputError:
            continue
        n_pixels, grey = max(n_pixels, header.n_pixels), grey and header.grey
    n_pixels = size[0] * size[1] if size else n_pixels
    problem = too_large(len(files), n_pixels * (1 if grey else 3))
    remedy = f"bring them to {'a smaller' if size else 'one'} size, such as {_resize(DEFAULT_SIZE)}"
    return grey, problem and f"{folder}: at up to {n_pixels:,} pixels each {problem}; {remedy}"


def _split(parts: Mapping[str, _Classes]) -> dict[str, tuple[list[Path], NDArray[np.int64]]]:
    """Files and labels of the training and the test part."""
    flat = {part: _labelled(classes) for part, classes in parts.items()}
    if "all" not in flat:
        return flat
    paths, labels = flat["all"]
    test = stratified(labels, TEST_FRACTION, seed=0)
    return {
        part: ([path for path, taken in zip(paths, mask, strict=True) if taken], labels[mask])
        for part, mask in (("train", ~test), ("test", test))
    }


def _labelled(classes: _Classes) -> tuple[list[Path], NDArray[np.int64]]:
    counts = [len(images) for images in classes.values()]
    return [path for images in classes.values() for path in images], np.repeat(
        np.arange(len(counts)), counts
    )


def _pixels(
    paths: Sequence[Path], read: _Read, *, grey: bool, size: Size | None
) -> NDArray[np.uint8]:
    """Decode `paths` into one array of the first image's shape; `read` notes sizes and failures."""
    array: NDArray[np.uint8] | None = None
    for i, path in enumerate(paths):
        if i and i % LOG_EVERY == 0:
            log.info("read %s of %s", f"{i:,}", f"{len(paths):,}")
        try:
            image = pictures.pixels(path, grey=grey, size=size)
        except InputError as error:
            read.failed.append(f"{path} ({error})")
            continue
        read.sizes[image.shape[1], image.shape[0]].append(path)
        if array is None:
            array = np.empty((len(paths), *image.shape), np.uint8)
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
            f"{w}×{h} ({len(paths):,}: {_names(folder, paths, 3)})" for (w, h), paths in most_first
        ]
        problems.append(
            f"{folder}: all images must have one size (width×height), not {len(sizes)}:"
            f" {some(sizes)}; bring them to one by {_resize(size)}"
        )
    return problems


def _resize(size: Size) -> str:
    return f"--resize {size[0]}x{size[1]}"


def _names(folder: Path, paths: Sequence[Path], n: int = 10) -> str:
    return some([os.path.relpath(path, folder) for path in paths], n)
