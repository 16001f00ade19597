"""A study's evidence folder → sample images, the best trial's predictions and network.

Workers write these files; older studies have none. A file that is missing, damaged or out of reach
is read as None: evidence explains a result and is never a reason to refuse the report.
"""

import io
import logging
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from search.analysis.judging import test_score
from search.artifacts import exists, join, reading
from search.records import ACCURACY, Objective, StudyRecord
from search.report.evidence import (
    SPLITS,
    Answers,
    Evidence,
    LabelPredictions,
    Network,
    NumberPredictions,
    Predictions,
    Samples,
)
from search.secret import masked
from search.untrusted import parse_json

logger = logging.getLogger(__name__)
_Kept = TypeVar("_Kept")

# What a truncated or altered file makes zipfile, zlib and NumPy raise; RuntimeError when it claims
# to be encrypted.
_DAMAGE = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    RuntimeError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
)

_OTHERS = ("confidence", "wrong_index", "wrong_images", "wrong_values", "shares")
"""Arrays that only some predictions have: of classes, of images, of rows, of replicates."""


def read_evidence(folder: str | Path, trial: int | None) -> Evidence:
    """Read the samples in `folder`, a path or a store's URL, and what was kept of trial `trial`.

    `trial` is None while none has been chosen. Raises InputError without the store's package.
    """
    evidence = Evidence()
    try:
        evidence = replace(evidence, samples=_read(join(folder, "samples.npz"), _samples))
        if trial is not None:
            evidence = replace(evidence, predictions=read_predictions(folder, trial))
            evidence = replace(
                evidence, network=_read(join(folder, f"network-{trial:04}.json"), _network)
            )
    except OSError as error:  # the rest would only wait for the same store
        logger.warning(
            "%s is out of reach, and what was kept there is left out: %s", masked(folder), error
        )
        return replace(evidence, is_out_of_reach=True)
    is_empty = not (evidence.samples or evidence.predictions or evidence.network)
    return replace(evidence, is_out_of_reach=is_empty and not is_there(folder))


def read_predictions(folder: str | Path, trial: int) -> Answers | None:
    """What was kept of the predictions of trial number `trial`.

    Raises OSError when the store is out of reach.
    """
    return _read(join(folder, f"trial-{trial:04}.npz"), _predictions)


def is_there(folder: str | Path) -> bool:
    """Whether the folder can be asked what it holds; only then is a file known to be missing."""
    try:
        return exists(folder)
    except OSError:
        return False


def _read(location: str, load: Callable[[IO[bytes]], _Kept]) -> _Kept | None:
    """What is at `location`, None if missing or damaged. Raises OSError when out of reach."""
    try:
        with reading(location) as file:
            content = io.BytesIO(file.read())
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    try:
        return load(content)
    except _DAMAGE as error:
        logger.warning("%s can't be read and is left out: %s", masked(location), error)
        return None


def _samples(file: IO[bytes]) -> Samples:
    arrays = _arrays(file, "images", "class_names", "counts", others=("columns",))
    n = len(_checked(arrays["images"], "u", 5))
    names = _checked(arrays["class_names"], "U", 1)
    counts = _checked(arrays["counts"], "iu", 1)
    if not len(names) == len(counts) == n:
        raise ValueError("the arrays must have one entry per class")
    columns = None
    if "columns" in arrays:
        columns = parse_json(str(_checked(arrays["columns"], "U", 0)))
        if not isinstance(columns, dict):
            raise ValueError("columns must be a mapping")
    return Samples(
        _images(arrays["images"]),
        tuple(str(name) for name in names),
        tuple(int(c) for c in counts),
        columns,
    )


def _predictions(file: IO[bytes]) -> Answers:
    arrays = _arrays(file, "split", "step", "true", "predicted", others=_OTHERS)
    split = str(_checked(arrays["split"], "U", 0))
    step = int(_checked(arrays["step"], "iu", 0))
    true, predicted = arrays["true"], arrays["predicted"]
    if split not in SPLITS or len(true) == 0 or true.shape != predicted.shape:
        raise ValueError("the arrays do not belong together")
    shares = arrays.get("shares")
    if shares is not None:
        shares = _checked(shares, "f", 1).astype(np.float64)
    if true.dtype.kind == "f":
        numbers = (_checked(array, "f", 2).astype(np.float64) for array in (true, predicted))
        return NumberPredictions(split, step, *numbers, shares=shares)
    if true.ndim == 2:
        labels = (_checked(array, "iub", 2).astype(np.int64) for array in (true, predicted))
        return LabelPredictions(split, step, *labels, shares=shares)
    return _of_classes(split, step, arrays, shares)


def _of_classes(
    split: str, step: int, arrays: Mapping[str, NDArray[Any]], shares: NDArray[np.float64] | None
) -> Predictions:
    true, predicted = (_checked(arrays[k], "iu", 1).astype(np.int64) for k in ("true", "predicted"))
    confidence = _checked(arrays["confidence"], "f", 1).astype(np.float64)
    wrong = _checked(arrays["wrong_index"], "iu", 1).astype(np.int64)
    images = arrays.get("wrong_images")
    if images is not None:
        images = _images(_checked(images, "u", 4))
    values = arrays.get("wrong_values")
    if values is not None:
        values = _checked(values, "fiub", 2).astype(np.float64)
    n = len(true)
    kept = [array for array in (images, values) if array is not None]
    if len(confidence) != n or any(len(array) != len(wrong) for array in kept):
        raise ValueError("the arrays do not belong together")
    if min(true.min(), predicted.min()) < 0 or not np.all((wrong >= 0) & (wrong < n)):
        raise ValueError("labels and places must not be negative, places must lie in the split")
    if np.any(true[wrong] == predicted[wrong]):
        raise ValueError("an image counted as misclassified is not")
    return Predictions(
        split, step, true, predicted, confidence, wrong, images, values, shares=shares
    )


def _network(file: IO[bytes]) -> Network:
    return TypeAdapter(Network).validate_json(file.read())


def _arrays(file: IO[bytes], *names: str, others: Sequence[str] = ()) -> dict[str, NDArray[Any]]:
    """The arrays `names`, and those of `others` that are there."""
    # NumPy reads an array's header before the archive's checksum is compared, and trips over it in
    # many ways.
    with zipfile.ZipFile(file) as archive:
        if archive.testzip() is not None:
            raise ValueError("the checksums differ")
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        present = [name for name in others if name in arrays]
        return {name: arrays[name] for name in (*names, *present)}


def _checked(array: NDArray[Any], kinds: str, ndim: int) -> NDArray[Any]:
    if array.dtype.kind not in kinds or array.ndim != ndim:
        raise ValueError(
            f"an array must be of kind {kinds} with {ndim} axes, not {array.dtype} {array.shape}"
        )
    return array


def _images(array: NDArray[Any]) -> NDArray[np.uint8]:
    if array.dtype != np.uint8 or (len(array) and 0 in array.shape[-3:]):
        raise ValueError(f"images must be uint8 and not empty, not {array.dtype} {array.shape}")
    return array


def read_shares(folder: str | Path, finalists: StudyRecord | None) -> dict[int, NDArray[Any]]:
    """What each test image has to the value of each finished replicate of `finalists`: for
    accuracy, bool (n,) whether it was right; else as `objectives.shares` has it.

    `folder` is its evidence, a path or URL.

    Left out, with a warning in the log where there is one to give: files that are missing or
    damaged, that hold another split or no shares, and those whose labels are not in the order of
    most others (they can't be paired with them). Raises InputError when the store's package is
    missing.
    """
    done = [t.number for t in finalists.trials if test_score(t)] if finalists else []
    try:
        predictions = {number: read_predictions(folder, number) for number in done}
    except OSError as error:
        logger.warning(
            "%s is out of reach, so finalists are judged without predictions: %s",
            masked(folder),
            error,
        )
        return {}
    kept = {number: p for number, p in predictions.items() if p is not None and p.split == "test"}
    order = Counter(p.true.tobytes() for p in kept.values()).most_common(1)
    odd = [number for number, p in kept.items() if p.true.tobytes() != order[0][0]]
    if odd:
        logger.warning(
            "the predictions of replicates %s are of other images than the rest and are left out",
            odd,
        )
    objective = finalists.objective if finalists else ACCURACY
    shares = {number: _shares(p, objective) for number, p in kept.items() if number not in odd}
    return {number: parts for number, parts in shares.items() if parts is not None}


def _shares(answers: Answers, objective: Objective) -> NDArray[Any] | None:
    if objective == ACCURACY and isinstance(answers, Predictions):
        return np.asarray(answers.true == answers.predicted)
    if answers.shares is None or not np.isfinite(answers.shares).all():
        return None
    return answers.shares
