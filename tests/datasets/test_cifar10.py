"""CIFAR-10 out of the archive that Keras keeps, and never out of anything unchecked."""

import hashlib
import io
import pickle
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from search import datasets
from search.datasets import cifar10, npz
from search.errors import InputError
from tests.datasets.conftest import program, saved

FOLDER = "cifar-10-batches-py"
NAMES = (
    "data_batch_1",
    "data_batch_2",
    "data_batch_3",
    "data_batch_4",
    "data_batch_5",
    "test_batch",
)


def batch(i: int) -> bytes:
    """A batch as the true ones are: keys in bytes, one row per image, the planes of its colours one
    after another.
    """
    images = np.random.default_rng(i).integers(0, 256, (20, 32, 32, 3), np.uint8)
    rows = images.transpose(0, 3, 1, 2).reshape(20, -1)
    pickled = pickle.dumps(
        {b"data": rows, b"labels": [(j + i) % 10 for j in range(20)]}, protocol=2
    )
    return pickled.replace(b"numpy._core.", b"numpy.core.")  # they were written long before NumPy 2


def archive(
    path: Path, monkeypatch: pytest.MonkeyPatch | None = None, **changes: bytes | None
) -> Path:
    """Write such an archive, changed, and with `monkeypatch` take it for the known one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as file:
        for name, content in ({n: batch(i) for i, n in enumerate(NAMES)} | changes).items():
            if content is not None:
                info = tarfile.TarInfo(f"{FOLDER}/{name}")
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))
    if monkeypatch:
        monkeypatch.setattr(
            cifar10, "ARCHIVE_SHA256", hashlib.sha256(path.read_bytes()).hexdigest()
        )
    return path


@pytest.mark.parametrize(
    "name", ["cifar-10-batches-py-target_archive", "cifar-10-batches-py.tar.gz"]
)
def test_the_archive_in_keras_cache_is_read(name, tmp_path, monkeypatch):
    archive(tmp_path / "keras/datasets" / name, monkeypatch)
    data = datasets.load("cifar10")
    assert data.input_shape == (32, 32, 3)
    assert data.class_names[:3] == ("airplane", "automobile", "bird")
    assert (len(data.y_train), len(data.y_test)) == (100, 20)
    for i in range(6):
        pixels = np.random.default_rng(i).integers(0, 256, (20, 32, 32, 3), np.uint8)
        images, labels = (data.x_train, data.y_train) if i < 5 else (data.x_test, data.y_test)
        rows = slice(20 * i, 20 * i + 20) if i < 5 else slice(None)
        assert (images[rows] == pixels).all()
        assert labels[rows].tolist() == [(j + i) % 10 for j in range(20)]
    assert [p.name for p in (tmp_path / "keras/datasets").iterdir()] == [name]
    assert not list((tmp_path / "home").iterdir())


class Evil:
    def __reduce__(self):
        return Path.touch, (Path("ran"),)


def test_no_pickle_is_read_that_was_not_checked(tmp_path):
    pickled = pickle.dumps(Evil())
    folder = tmp_path / "keras/datasets"
    archive(folder / "cifar-10-batches-py-target_archive", **dict.fromkeys(NAMES, pickled))
    unpacked = folder / "cifar-10-batches-py-target" / FOLDER
    unpacked.mkdir(parents=True)
    for name in NAMES:
        (unpacked / name).write_bytes(pickled)
    with pytest.raises(
        InputError, match=r"Keras' cache: .*_archive is not the known archive .*known 6d958be07457"
    ):
        datasets.load("cifar10")
    (folder / "cifar-10-batches-py-target_archive").unlink()
    with pytest.raises(InputError, match="Keras' cache: no cifar-10-batches-py-target_archive or "):
        datasets.load("cifar10")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "change", [{"data_batch_3": None}, {"data_batch_3": b"\x80\x02}q"}, {"test_batch": b""}]
)
def test_an_archive_that_is_not_as_expected(change, tmp_path, monkeypatch):
    archive(tmp_path / "keras/datasets/cifar-10-batches-py-target_archive", monkeypatch, **change)
    with pytest.raises(InputError, match=r"Keras' cache: .*_archive can't be read"):
        datasets.load("cifar10")


def test_keras_download_fills_our_cache_and_damage_there_is_seen(tmp_path, monkeypatch):
    archive(tmp_path / "net/datasets/cifar-10-batches-py-target_archive", monkeypatch)
    python = program(tmp_path / "python", f'/bin/cp -r {tmp_path}/net/datasets "$KERAS_HOME"/')
    monkeypatch.setattr(sys, "executable", str(python))
    first = datasets.load("cifar10")
    kept = tmp_path / "home/.cache/cifar10.npz"
    assert npz.load(kept, "cifar10").digest == first.digest
    content = bytearray(kept.read_bytes())
    content[len(content) // 2] ^= 1
    kept.write_bytes(content)
    assert datasets.load("cifar10").digest == first.digest  # downloaded again
    saved(kept)  # whole, but of another shape
    assert datasets.load("cifar10").digest == first.digest
