"""Where fashion and mnist come from: the order, the checks, and the error when nothing works."""

import gzip
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from search import datasets
from search.datasets import fashion, fetch, mnist
from search.errors import InputError
from tests.datasets.conftest import digest_of, program, saved, some_arrays

IDX = {
    "x_train": "train-images-idx3-ubyte.gz",
    "y_train": "train-labels-idx1-ubyte.gz",
    "x_test": "t10k-images-idx3-ubyte.gz",
    "y_test": "t10k-labels-idx1-ubyte.gz",
}


def idx_folder(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for key, array in some_arrays().items():
        header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
        (folder / IDX[key]).write_bytes(gzip.compress(header + array.tobytes(), 1))
    return folder


@pytest.fixture(autouse=True)
def small_sets(tmp_path, monkeypatch):
    """Take the small fake for the real content."""
    digest = digest_of(saved(tmp_path / "known.npz"))
    monkeypatch.setattr(fashion, "DIGEST", digest)
    monkeypatch.setattr(mnist, "DIGEST", digest)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_keras_cache_is_read_and_never_written(tmp_path):
    saved(tmp_path / "keras/datasets/mnist.npz")
    idx_folder(tmp_path / "keras/datasets/fashion-mnist")
    before = tree(tmp_path / "keras")
    assert len(datasets.load("mnist").y_train) == len(datasets.load("fashion").y_train) == 60
    assert tree(tmp_path / "keras") == before
    assert not tree(tmp_path / "home")


def test_other_content_and_damage_in_keras_cache_are_reported_and_left_alone(tmp_path):
    saved(tmp_path / "keras/datasets/mnist.npz", x_train=some_arrays()["x_train"] // 2)
    (idx_folder(tmp_path / "keras/datasets/fashion-mnist") / IDX["x_test"]).write_bytes(b"not gzip")
    before = tree(tmp_path / "keras")
    with pytest.raises(InputError, match="Keras' cache: its content is not the known one"):
        datasets.load("mnist")
    with pytest.raises(InputError, match=f"Keras' cache: .*{IDX['x_test']} can't be read"):
        datasets.load("fashion")
    assert tree(tmp_path / "keras") == before


@pytest.mark.parametrize("damage", ["cut", "other header", "short"])
def test_damaged_idx_files(damage, tmp_path):
    folder = idx_folder(tmp_path / "keras/datasets/fashion-mnist")
    path = folder / IDX["x_train"]
    raw = gzip.decompress(path.read_bytes())
    path.write_bytes(
        {
            "cut": path.read_bytes()[:-100],
            "other header": gzip.compress(b"\1" + raw[1:]),
            "short": gzip.compress(raw[:-1]),
        }[damage]
    )
    with pytest.raises(InputError, match=f"{IDX['x_train']} can't be read"):
        datasets.load("fashion")


def test_keras_download_fills_our_cache_and_not_the_users(tmp_path, monkeypatch):
    idx_folder(tmp_path / "net/datasets/fashion-mnist")
    saved(tmp_path / "net/datasets/mnist.npz")
    calls = tmp_path / "calls"
    python = program(
        tmp_path / "python",
        f'echo called >> {calls}; /bin/cp -r {tmp_path}/net/datasets "$KERAS_HOME"/',
    )
    monkeypatch.setattr(sys, "executable", str(python))
    for name in ("fashion", "mnist"):
        first, again = datasets.load(name), datasets.load(name)
        assert again.digest == first.digest
    assert calls.read_text() == "called\n" * 2  # once for each
    assert sorted(p.name for p in (tmp_path / "home/.cache").iterdir()) == [
        "fashion.npz",
        "mnist.npz",
    ]
    assert not tree(tmp_path / "keras")


def test_our_cache_is_checked_and_made_anew(tmp_path, monkeypatch):
    saved(tmp_path / "net/datasets/mnist.npz")
    python = program(tmp_path / "python", f'/bin/cp -r {tmp_path}/net/datasets "$KERAS_HOME"/')
    monkeypatch.setattr(sys, "executable", str(python))
    kept = Path(saved(tmp_path / "home/.cache/mnist.npz", y_test=some_arrays()["y_test"][::-1]))
    datasets.load("mnist")
    assert digest_of(str(kept)) == mnist.DIGEST
    kept.write_bytes(b"torn")
    datasets.load("mnist")
    assert digest_of(str(kept)) == mnist.DIGEST


def test_a_download_that_stalls_is_given_up(tmp_path):
    sleeper = program(tmp_path / "sleeper", "exec /bin/sleep 60")
    with pytest.raises(InputError, match=r"^no byte came for 0\.3 s"):
        fetch.run([str(sleeper)], tmp_path / "home", {}, stall_s=0.3)


def test_installed_debian_package(tmp_path):
    idx_folder(tmp_path / "root/usr/share/datasets/fashion-mnist")
    assert datasets.load("fashion").n_classes == 10


def debian_tools(tmp_path, apt: str) -> None:
    program(tmp_path / "bin/apt-get", apt)
    program(
        tmp_path / "bin/dpkg",
        f'[ "$1" = -x ] && /bin/mkdir "$3" && /bin/cp -r {tmp_path}/package/usr "$3"/',
    )


def test_debian_package_without_root(tmp_path):
    idx_folder(tmp_path / "package/usr/share/datasets/fashion-mnist")
    debian_tools(tmp_path, "echo 'W: sandbox' >&2; : > dataset-fashion-mnist_0_all.deb")
    assert datasets.load("fashion").n_classes == 10
    assert [p.name for p in (tmp_path / "home/.cache").iterdir()] == ["fashion.npz"]
    shutil.rmtree(tmp_path / "bin")
    assert datasets.load("fashion").digest == fashion.DIGEST  # from our cache


def test_missing_package_lists_name_their_remedy(tmp_path):
    debian_tools(
        tmp_path, "echo 'E: Unable to locate package x' >&2; echo 'W: later' >&2; exit 100"
    )
    with pytest.raises(
        InputError, match="E: Unable to locate package x; run `apt-get update` as root first"
    ):
        datasets.load("fashion")


def test_no_source_names_every_one_tried_and_the_remedies(tmp_path, monkeypatch):
    monkeypatch.setenv("GRIDLESS_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(InputError) as refused:
        datasets.load("fashion")
    remedy, *tried = refused.value.problems
    for part in (
        "fashion.npz",
        "GRIDLESS_DATA",
        "connect",
        "apt-get install dataset-fashion-mnist",
        "DATA=digits",
    ):
        assert part in remedy
    expected = [
        "tried $GRIDLESS_DATA/fashion.npz: no such file",
        "tried our cache: ",
        "tried Keras' cache: no data in ",
        "tried Debian's package dataset-fashion-mnist, installed: no data in ",
        "tried Keras' download: no network",
        "tried Debian's package dataset-fashion-mnist, downloaded: apt-get and dpkg not found",
    ]
    assert len(tried) == len(expected)
    for line, start in zip(tried, expected, strict=True):
        assert line.startswith(start)
    monkeypatch.delenv("GRIDLESS_DATA")
    with pytest.raises(InputError, match="GRIDLESS_DATA is not set") as refused:
        datasets.load("mnist")
    assert len(refused.value.problems) == 5


def test_a_home_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GRIDLESS_HOME", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"Keras' download: .*file/\.cache can't be written"):
        datasets.load("mnist")
