"""Training, validation and test parts on disk."""

import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.datasets.image_data import from_arrays
from search.datasets.split import Prepared, prepare, read_split
from search.datasets.stratify import stratified
from search.errors import InputError, StudyError
from tests.datasets.conftest import some_arrays


def shown(folder: Path) -> list[Path]:
    """What is in it, beside locks."""
    return [path for path in folder.iterdir() if path.suffix != ".lock"]


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def numbered(n=200, n_classes=4):
    """Make a data set whose every training image carries its own number in its first two pixels."""
    arrays = some_arrays(n, 40, n_classes, (4, 4))
    arrays["x_train"][:, 0, 0], arrays["x_train"][:, 0, 1] = np.divmod(np.arange(n), 256)
    return from_arrays("numbered", arrays, ["é", "b", "c", "d"][:n_classes])


def numbers(images):
    return (images[:, 0, 0, 0].astype(int) * 256 + images[:, 0, 1, 0]).tolist()


def test_parts_are_disjoint_whole_and_stratified(cache):
    data = numbered()
    prepared = prepare(data, seed=3, validation_fraction=0.2, cache=cache)
    split = read_split(prepared.folder)
    train, val = numbers(split.x_train), numbers(split.x_val)
    assert sorted(train + val) == list(range(200))
    assert (split.y_train == data.y_train[train]).all()
    assert (split.y_val == data.y_train[val]).all()
    assert np.bincount(split.y_val).tolist() == [10] * 4
    assert (prepared.n_train, prepared.n_val, prepared.n_test) == (160, 40, 40)
    assert (split.x_train.dtype, split.y_train.dtype, split.y_val.dtype) == (
        np.uint8,
        np.int64,
        np.int64,
    )
    assert prepared.test_folder is not None
    assert (np.load(prepared.test_folder / "x_test.npy") == data.x_test).all()
    assert (np.load(prepared.test_folder / "y_test.npy") == data.y_test).all()
    with pytest.raises(ValueError, match="read-only"):
        split.x_train[0] = 0


def test_a_trial_cannot_reach_the_test_set(cache):
    prepared = prepare(numbered(), seed=0, validation_fraction=0.1, cache=cache)
    files = {path.name for path in prepared.folder.iterdir()}
    assert files == {"x_train.npy", "y_train.npy", "x_val.npy", "y_val.npy", "meta.json"}
    assert str(prepared.test_folder) not in (prepared.folder / "meta.json").read_text()
    again = Prepared.read(prepared.folder)
    assert again.test_folder is None
    assert (again.class_names, again.input_shape, again.digest) == (
        ("é", "b", "c", "d"),
        (4, 4, 1),
        prepared.digest,
    )
    assert (again.n_train, again.n_val, again.n_test) == (180, 20, 40)


def test_seed_fraction_and_content_choose_the_folder_and_the_split(cache):
    data = numbered()

    def val(seed, fraction):
        prepared = prepare(data, seed=seed, validation_fraction=fraction, cache=cache)
        return prepared, numbers(read_split(prepared.folder).x_val)

    (one, first), (two, second), (three, third) = val(1, 0.1), val(2, 0.1), val(1, 0.3)
    assert first != second
    assert (len(first), len(third)) == (20, 60)
    assert len({one.folder, two.folder, three.folder}) == 3
    assert one.test_folder == two.test_folder == three.test_folder
    assert one.folder.name == f"numbered-{data.digest[:12]}-s1-v0.1"
    assert len(shown(cache)) == 4  # three splits, one test folder, no scraps


def test_the_split_is_the_same_on_every_machine():
    labels = np.arange(40) % 4
    assert np.flatnonzero(stratified(labels, 0.2, seed=0)).tolist() == [
        2,
        3,
        11,
        13,
        18,
        20,
        21,
        32,
    ]


@settings(deadline=None)
@given(
    counts=st.lists(st.integers(2, 40), min_size=2, max_size=6),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**32),
)
def test_every_class_is_on_both_sides_in_its_share(counts, fraction, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    held = np.bincount(labels[stratified(labels, fraction, seed=seed)], minlength=len(counts))
    for n_held, count in zip(held, counts, strict=True):
        assert 1 <= n_held <= count - 1
        assert abs(n_held - fraction * count) <= 1
    if all(1 < fraction * count < count - 1 for count in counts):
        assert held.sum() == round(sum(fraction * count for count in counts))


def test_an_existing_folder_is_used_again(cache):
    first = prepare(numbered(), seed=0, validation_fraction=0.1, cache=cache)
    os.utime(cache, (0, 0))
    assert prepare(numbered(), seed=0, validation_fraction=0.1, cache=cache) == first
    assert cache.stat().st_mtime == 0  # nothing was made in it, not even for a moment


def cut(folder: Path) -> None:
    path = folder / "x_train.npy"
    path.write_bytes(path.read_bytes()[:-1])


def change(folder: Path) -> None:
    labels = np.load(folder / "y_val.npy")
    np.save(folder / "y_val.npy", labels[::-1])


def remark(folder: Path) -> None:
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps({**meta, "n_val": 1}))


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def replace_by_file(folder: Path) -> None:
    empty(folder)
    folder.rmdir()
    folder.write_text("in the way")


@pytest.mark.parametrize("harm", [cut, change, remark, empty, replace_by_file])
def test_a_torn_or_foreign_folder_is_rebuilt(harm, cache):
    prepared = prepare(numbered(), seed=0, validation_fraction=0.1, cache=cache)
    expected = read_split(prepared.folder)
    expected = [
        array.copy()
        for array in (expected.x_train, expected.y_train, expected.x_val, expected.y_val)
    ]
    harm(prepared.folder)
    assert prepare(numbered(), seed=0, validation_fraction=0.1, cache=cache) == prepared
    rebuilt = read_split(prepared.folder)
    for a, b in zip(
        expected, (rebuilt.x_train, rebuilt.y_train, rebuilt.x_val, rebuilt.y_val), strict=True
    ):
        assert (a == b).all()
    assert Prepared.read(prepared.folder).n_val == 20
    assert len(shown(cache)) == 2


def test_a_torn_test_folder_is_rebuilt(cache):
    prepared = prepare(numbered(), seed=0, validation_fraction=0.1, cache=cache)
    assert prepared.test_folder is not None
    np.save(prepared.test_folder / "y_test.npy", np.zeros(40, np.int64))
    prepare(numbered(), seed=0, validation_fraction=0.1, cache=cache)
    assert (np.load(prepared.test_folder / "y_test.npy") == numbered().y_test).all()


def test_many_may_prepare_at_once(cache):
    data, start = numbered(), threading.Barrier(8)
    foreign = cache / f"numbered-{data.digest[:12]}-s0-v0.1"
    foreign.mkdir(parents=True)
    (foreign / "x_train.npy").write_text("")
    digests, failed = [], []

    def work():
        start.wait()
        try:
            prepared = prepare(data, seed=0, validation_fraction=0.1, cache=cache)
            digests.append(prepared)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert len(digests) == 8
    assert len(set(digests)) == 1
    assert len(read_split(digests[0].folder).y_val) == 20
    assert len(shown(cache)) == 2


def test_bad_requests_name_all_their_faults(cache):
    data = numbered()
    lonely = data.y_train.copy()
    lonely[lonely == 2] = 1
    lonely[0] = 2
    object.__setattr__(data, "y_train", lonely)
    with pytest.raises(InputError) as refused:
        prepare(data, seed=-1, validation_fraction=1.0, cache=cache)
    fraction, seed, classes = refused.value.problems
    assert "between 0 and 1, both excluded, not 1.0" in fraction
    assert "seed must be 0 or more, not -1" in seed
    assert "at least 2 training images" in classes
    assert classes.endswith("classes with 1: 2")
    assert not cache.exists()


def test_a_cache_that_cannot_be_written_is_named(cache):
    cache.write_text("")
    with pytest.raises(InputError, match=r"cache can't be written .*GRIDLESS_HOME"):
        prepare(numbered(), seed=0, validation_fraction=0.1, cache=cache)


def test_reading_what_is_gone_stops_the_study(cache):
    prepared = prepare(numbered(), seed=0, validation_fraction=0.1, cache=cache)
    (prepared.folder / "x_val.npy").write_bytes(b"torn")
    with pytest.raises(StudyError, match="start the study again to rebuild it"):
        read_split(prepared.folder)
    (prepared.folder / "meta.json").write_text("{}")
    with pytest.raises(StudyError, match="start the study again"):
        Prepared.read(prepared.folder)
    with pytest.raises(StudyError, match="No such file"):
        Prepared.read(cache / "nowhere")
