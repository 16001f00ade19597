"""Arrays and images: npz files, folders, checkpoints, evidence."""

import hashlib
import io
from functools import cache

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from search.datasets import batch, folder, npz
from search.report.read_evidence import read_evidence
from search.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from tests.fuzz.helpers import TREES, attempt, damaged, dumped, fuzz, written


@cache
def saved_arrays(*, packed: bool) -> bytes:
    x, y = np.arange(6 * 16, dtype=np.uint8).reshape(6, 4, 4), np.array([0, 0, 0, 1, 1, 1])
    file = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(
        file, x_train=x, y_train=y, x_test=x, y_test=y, class_names=np.array(["a", "b"])
    )
    return file.getvalue()


@fuzz
@given(st.booleans().flatmap(lambda packed: damaged(saved_arrays(packed=packed))))
def test_npz(content: bytes) -> None:
    path = written(content, "own.npz")
    attempt(lambda: npz.load(path, "own"))
    attempt(lambda: batch.read_batch([str(path)], (4, 4, 1)))


NAMES = st.sampled_from(["x_train", "y_train", "x_test", "y_test", "class_names"])
KINDS = st.sampled_from(["u1", "i8", "f4", "U3", "U0", "V0", "c8", "M8[D]", "?", "S2"])
SHAPES = st.lists(st.sampled_from([0, 1, 2, 6]), max_size=5).map(tuple)


@fuzz
@given(st.dictionaries(NAMES, st.tuples(KINDS, SHAPES)))
def test_npz_of_other_arrays(members: dict[str, tuple[str, tuple[int, ...]]]) -> None:
    file = io.BytesIO(saved_arrays(packed=False))
    arrays = dict(np.load(file)) | {
        key: np.zeros(shape, kind) for key, (kind, shape) in members.items()
    }
    out = io.BytesIO()
    np.savez(out, **arrays)
    attempt(lambda: npz.load(written(out.getvalue(), "own.npz"), "own"))


@cache
def image(kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(file, kind)
    return file.getvalue()


@fuzz
@given(
    st.sampled_from(["PNG", "JPEG", "BMP", "GIF", "WEBP"]).flatmap(
        lambda kind: damaged(image(kind))
    )
)
def test_folder(content: bytes) -> None:
    root = written(b"", "x").parent
    for label in "ab":
        (root / label).mkdir()
        for i in range(3):
            (root / label / f"{i}.png").write_bytes(image("PNG"))
    (root / "a" / "1.png").write_bytes(content)
    attempt(lambda: folder.load(root, "own"))


@cache
def checkpoint() -> bytes:
    path = written(b"", "c")
    save_checkpoint(path, Checkpoint("f", ({"a": 1},), [np.zeros(3)], [np.ones(2)]))
    return path.read_bytes()


@fuzz
@given(st.data(), st.booleans())
def test_checkpoint(data: st.DataObject, is_whole: bool) -> None:
    content = data.draw(damaged(checkpoint()[:-32] if is_whole else checkpoint()))
    content += hashlib.sha256(content).digest() if is_whole else b""
    try:
        restored = load_checkpoint(written(content, "c"), "f")
    except OSError:  # as of a disk that fails: the trial is given back
        assert is_whole
    else:
        assert restored is None or is_whole or content == checkpoint()


@cache
def samples() -> bytes:
    file = io.BytesIO()
    np.savez(
        file,
        images=np.zeros((2, 1, 4, 4, 1), np.uint8),
        class_names=np.array(["a", "b"]),
        counts=np.array([1, 2]),
    )
    return file.getvalue()


@fuzz
@given(st.data())
def test_evidence(data: st.DataObject) -> None:
    path = written(data.draw(damaged(samples())), "samples.npz")
    (path.parent / "network-0000.json").write_bytes(dumped(data.draw(TREES)))
    read_evidence(path.parent, 0)
