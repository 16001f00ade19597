"""Which files below a folder are images of which class, and of which part of the data."""

import logging
import os
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from search.datasets import pictures
from search.datasets.examples import some
from search.datasets.stratify import stratified
from search.errors import InputError

log = logging.getLogger(__name__)

TEST_FRACTION = 1 / 6


_LITTER = frozenset(
    {"__MACOSX", "@eaDir", "lost+found", "$RECYCLE.BIN", "System Volume Information"}
)
"""Folders that archivers and file systems leave beside a user's own; not read."""


Classes = Mapping[str, Sequence[Path]]
"""Class name → its image files; both sorted."""


_LEAST = {
    "train": (2, "one of them to validate on"),
    "test": (0, ""),
    "val": (0, ""),
    "all": (3, "one of them to test and one to validate on"),
}
"""Images that each class must have, and why; one is enough to train on beside val."""
_ROOTS = {"train": "train", "test": "test", "val": "val", "valid": "val", "validation": "val"}
"""Names of folders of the parts, in lower case → the part."""


class _Listing(NamedTuple):
    """The visible entries of a folder, sorted by name."""

    folders: list[Path]
    images: list[Path]
    others: list[Path]


def parts_of(folder: Path) -> dict[str, Classes]:
    """The classes of each part: "train" with "test" or "val" or both, or "all" where they are not
    apart.
    """
    top = _list(folder)
    roots = _roots(folder, top)
    parts: dict[str, Classes] = {}
    left = [*top.images, *top.others]
    if roots:
        left += [path for path in top.folders if path not in roots.values()]
    for part, root in (roots or {"all": folder}).items():
        listing = _list(root)
        inside = {path.name: _list(path) for path in listing.folders}
        for content in inside.values():
            left += [*content.folders, *content.others]
        if roots:
            left += [*listing.images, *listing.others]
        parts[part] = {label: each.images for label, each in inside.items()}
    for part in roots:  # labels are numbered by all classes, with images to test them on or not
        absent = {label: () for label in parts["train"] if label not in parts[part]}
        parts[part] = dict(sorted({**parts[part], **absent}.items()))
    if left:
        is_linked = any(path.is_symlink() and path.is_dir() for path in left)
        links = "; links to folders are not followed" if is_linked else ""
        names = names_below(folder, left)
        log.warning("%s: left out, being no image of a class: %s%s", folder, names, links)
    return parts


def _roots(folder: Path, top: _Listing) -> dict[str, Path]:
    """The folders "train" and "test", "val" or both; none without them, where one may be a class's
    name.
    """
    named = {path.name.lower(): path for path in top.folders}
    roots: dict[str, Path] = {part: named[name] for name, part in _ROOTS.items() if name in named}
    if "train" in roots and len(roots) > 1:
        return roots
    for part, root in roots.items():
        if part != "val" and _list(root).folders:
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


def class_problems(folder: Path, parts: Mapping[str, Classes]) -> list[str]:
    """What is wrong with the classes, a sentence each with the remedy."""
    layout = (
        "put the images in <class>/ folders, or in train/<class>/ and test/<class>/; deeper ones"
        " are not read"
    )
    problems = []
    others = [part for part in parts if part not in {"all", "train"}]
    for part in others:
        if missing := sorted(set(parts[part]) - set(parts["train"])):
            problems.append(
                f"{folder}: train must have the classes of {part}, but lacks {some(missing)}; "
                f"add images of them, or remove them from {part}"
            )
        if not any(parts[part].values()):
            problems.append(f"{folder}: {part} has no images; {layout}")
    for part, classes in parts.items():
        where = folder if part == "all" else folder / part
        if len(classes) < 2:
            problems.append(
                f"{where}: {len(classes)} class folders, but a classifier needs at least 2;"
                f" {layout}"
            )
        least, reason = (1, "to train on") if "val" in parts else _LEAST["train"]
        if part != "train":
            least, reason = _LEAST[part]
        if few := [
            f"{label} ({len(images)})" for label, images in classes.items() if len(images) < least
        ]:
            problems.append(
                f"{where}: each class needs at least {least} images, {reason}; with fewer:"
                f" {some(few)}; {layout}"
            )
    return problems


def split_files(parts: Mapping[str, Classes]) -> dict[str, tuple[list[Path], NDArray[np.int64]]]:
    """Files and labels of the training part and the others."""
    flat = {part: _labelled(classes) for part, classes in parts.items()}
    if "all" not in flat:
        return flat
    paths, labels = flat["all"]
    test = stratified(labels, TEST_FRACTION, seed=0)
    return {
        part: ([path for path, taken in zip(paths, mask, strict=True) if taken], labels[mask])
        for part, mask in (("train", ~test), ("test", test))
    }


def _labelled(classes: Classes) -> tuple[list[Path], NDArray[np.int64]]:
    counts = [len(images) for images in classes.values()]
    labels = np.repeat(np.arange(len(counts)), counts)
    return list(chain.from_iterable(classes.values())), labels


def names_below(folder: Path, paths: Sequence[Path], n: int = 10) -> str:
    """The first `n` of `paths`, each as seen from `folder`."""
    return some([os.path.relpath(path, folder) for path in paths], n)
