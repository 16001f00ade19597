"""The contract of every registered data set and of users' own data, and how a text names one of
them.
"""

import dataclasses
import logging
import pickle
from pathlib import Path

import numpy as np
import pytest

from search import datasets, registry
from search.datasets import digits
from search.datasets.facts import Facts, facts_of
from search.datasets.image_data import ImageData, from_arrays
from search.errors import InputError
from tests.datasets.conftest import pictures, saved, some_arrays


@pytest.mark.parametrize("name", [*registry.names(registry.DATASETS), "./digits", "./digits.npz"])
def test_every_data_set_keeps_the_contract(name, tmp_path, monkeypatch):
    for registered in registry.names(registry.DATASETS):
        if registered != "digits":  # it alone needs no download
            arrays = some_arrays(shape=facts_of(registered).input_shape)
            saved(tmp_path / "own" / f"{registered}.npz", **arrays)
    monkeypatch.setenv("GRIDLESS_DATA", str(tmp_path / "own"))
    saved(tmp_path / "digits.npz")
    pictures(
        tmp_path / "digits",
        {str(label): [np.full((4, 6), i) for i in range(4)] for label in range(10)},
    )
    data = datasets.load(name)
    assert data.name == datasets.data_name(name) == ("digits-own" if "/" in name else name)
    assert data.n_classes == len(data.class_names) == 10
    if facts := facts_of(name):
        assert data.input_shape == facts.input_shape
    for images, labels in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        assert images.dtype == np.uint8
        assert images.shape == (len(labels), *data.input_shape)
        assert labels.dtype == np.int64
        assert set(labels.tolist()) == set(range(10))
    again = datasets.load(name)
    assert again.digest == data.digest


def test_facts_are_known_of_every_registered_data_set_without_its_images():
    facts = {name: facts_of(name) for name in registry.names(registry.DATASETS)}
    assert facts["digits"] == Facts((8, 8, 1), 10, 1_437, 360, "bundled with scikit-learn")
    assert None not in facts.values()
    assert facts_of("./digits") is None


def test_digits_is_the_same_on_every_machine():
    data = datasets.load("digits")
    assert data.digest == digits.DIGEST  # pins the library's data, the scaling and the split
    assert (len(data.y_train), len(data.y_test), data.input_shape) == (1437, 360, (8, 8, 1))
    assert (data.x_train.min(), data.x_train.max()) == (0, 255)
    assert np.bincount(data.y_test).min() >= 34  # stratified: 17.4 % of 1,797 is about 36 of each


def test_own_file_loads_with_or_without_a_channel_axis(tmp_path):
    arrays = some_arrays()
    plain = datasets.load(saved(tmp_path / "my shoes.npz"))
    deep = datasets.load(
        saved(
            tmp_path / "deep.npz",
            x_train=arrays["x_train"][..., None],
            x_test=arrays["x_test"][..., None],
            y_train=arrays["y_train"].astype(np.int32)[:, None],
            class_names=[f"c{i}" for i in range(10)],
        )
    )
    assert plain.name == datasets.data_name(str(tmp_path / "my shoes.npz")) == "my-shoes"
    assert plain.class_names == tuple("0123456789")
    assert deep.class_names[3] == "c3"
    assert deep.input_shape == (28, 28, 1)
    assert deep.digest == plain.digest
    assert (plain.x_train[:, :, :, 0] == arrays["x_train"]).all()


def test_arrays_that_are_not_read_are_named(tmp_path, caplog):
    path = saved(tmp_path / "own.npz", fold=np.ones(60), groups=np.zeros(3))
    with caplog.at_level(logging.WARNING):
        assert datasets.load(path).input_shape == (28, 28, 1)
    assert "own.npz: not read: fold, groups;" in caplog.text
    caplog.clear()
    signals = {
        f"x_{part}": np.ones((n, 1, 96, 9), np.uint8) for part, n in (("train", 60), ("test", 30))
    }
    assert datasets.load(saved(tmp_path / "own.npz", **signals)).input_shape == (1, 96, 9)
    assert not caplog.text


def test_a_folder_of_arrays_is_mapped_and_the_same_as_their_file(tmp_path):
    path = saved(tmp_path / "own.npz", class_names=list("abcdefghij"))
    (tmp_path / "own").mkdir()
    for key, array in np.load(path).items():
        np.save(tmp_path / "own" / f"{key}.npy", array)
    data = datasets.load(str(tmp_path / "own"))
    assert (data.digest, data.class_names[1]) == (datasets.load(path).digest, "b")
    base = data.x_train
    while not isinstance(base, np.memmap):
        base = base.base  # an array in memory has none
    (tmp_path / "own" / "y_train.npy").write_bytes(b"torn")
    with pytest.raises(InputError, match=r"own/y_train.npy can't be read"):
        datasets.load(str(tmp_path / "own"))


def test_digest_sees_every_array(tmp_path):
    arrays = some_arrays()
    digests = {datasets.load(saved(tmp_path / "a.npz")).digest}
    for key, array in arrays.items():
        changed = array.copy()
        changed[:2] = changed[1::-1]  # the first two exchanged
        digests.add(datasets.load(saved(tmp_path / "b.npz", **{key: changed})).digest)
    assert len(digests) == 5


def test_names_and_sources_of_paths(tmp_path):
    assert datasets.data_name("fashion") == datasets.data_source("fashion") == "fashion"
    assert datasets.data_name("a/b/../Größe 3.NPZ") == "Größe-3"
    assert datasets.data_name("/x/....npz") == datasets.data_name("/") == "data"
    (tmp_path / "my shoes.v2").mkdir()
    for way in ("my shoes.v2", "./my shoes.v2/", "x/../my shoes.v2", str(tmp_path / "my shoes.v2")):
        assert datasets.data_name(way) == "my-shoes.v2"
        assert datasets.data_source(way) == str(tmp_path / "my shoes.v2")
    assert datasets.data_name(".") == datasets.data_name("my shoes.v2/..") == tmp_path.name
    # A registered name is never taken by what lies in the working folder, nor given to it.
    (tmp_path / "digits").mkdir()
    assert datasets.data_source("digits") == "digits"
    assert datasets.data_source("./digits") == str(tmp_path / "digits")
    assert datasets.data_name("./digits") == datasets.data_name("x/digits.npz") == "digits-own"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("fashon", "'fashon' is not known; did you mean 'fashion'"),
        ("", "'' is not known"),
        ("./fashon", "DATA: ./fashon: no such folder; .*did you mean 'fashion'"),
        ("~nobody/photos", "DATA: ~nobody/photos: no such folder; .*known: cifar10, digits"),
        ("mnits.npz", "DATA: mnits.npz: no such file; .*did you mean 'mnist'"),
        ("photos.zip", "photos.zip: neither an .npz file, a table .* nor a folder; unpack"),
    ],
)
def test_a_name_or_path_of_nothing(data, message, tmp_path):
    (tmp_path / "photos.zip").write_bytes(b"PK")
    with pytest.raises(InputError, match=message):
        datasets.load(data)


ARRAYS = some_arrays()
BAD = {
    "array x_train is missing": {"x_train": None},
    "array y_test is missing": {"y_test": None},
    "x_train and x_test must be of one type, not float32 and uint8": {
        "x_train": ARRAYS["x_train"].astype(np.float32)
    },
    r"examples of one shape, not \(28, 28, 1\) and \(784,\)": {
        "x_test": ARRAYS["x_test"].reshape(30, -1)
    },
    r"x_test must have the shape \(n, …\), an example in each row, not \(30,\)": {
        "x_test": ARRAYS["x_test"][:, 0, 0]
    },
    "x_train must hold numbers, not complex128": {"x_train": ARRAYS["x_train"] + 0j},
    "x_train must hold numbers, not <U3": {"x_train": ARRAYS["x_train"].astype(str)},
    "x_train has 2 NaN and 1 infinite of 120 values, the first in row 7; fill": {
        "x_train": np.where(
            np.arange(120) == 14, np.inf, np.where(np.isin(np.arange(120), (17, 90)), np.nan, 1.0)
        ).reshape(60, 2),
        "x_test": np.ones((30, 2)),
    },
    "x_train has whole numbers up to 16,777,217, but float32": {
        "x_train": np.full((60, 2), 2**24 + 1),
        "x_test": np.ones((30, 2)),
    },
    "x_train is empty": {"x_train": ARRAYS["x_train"][:0]},
    "y_train is empty": {"y_train": ARRAYS["y_train"][:0]},
    "y_train must hold labels .* or numbers, not complex128": {"y_train": ARRAYS["y_train"] * 1j},
    "y_train has 1 NaN of 60 values, the first in row 3": {
        "y_train": np.where(np.arange(60) == 3, np.nan, 1.0)
    },
    "y_test must have labels as y_train has them, uint8 .* not <U3": {
        "y_test": ARRAYS["y_test"].astype(str)
    },
    "y_test must have one 1 in each row, but 30 rows have none or several": {
        "y_train": np.eye(10, dtype=int)[ARRAYS["y_train"]],
        "y_test": np.ones((30, 10), int),
    },
    r"y_train must have the shape \(n,\), one label .*--task regression": {
        "y_train": np.full((60, 2), 5)
    },
    "y_train has one value only, 0.5": {"y_train": np.full(60, 0.5), "y_test": np.full(30, 0.5)},
    "y_test has labels that y_train has not: shoe;": {
        "y_train": np.array(["bag", "hat"] * 30),
        "y_test": np.array(["bag", "shoe"] * 15),
    },
    "x_train and y_train must be of equal length, not 60 and 59": {
        "y_train": ARRAYS["y_train"][:-1]
    },
    "x_test and y_test must be of equal length, not 29 and 30": {"x_test": ARRAYS["x_test"][:-1]},
    r"one shape, not \(28, 28, 1\) and \(28, 27, 1\)": {"x_test": ARRAYS["x_test"][:, :, :-1]},
    "one class only, 0": {"y_train": ARRAYS["y_train"] * 0, "y_test": ARRAYS["y_test"] * 0},
    "y_test has labels that y_train has not: 10;": {"y_test": ARRAYS["y_test"] + 1},
    "2 training examples, .*; classes with fewer: 10$": {
        "y_train": np.append(ARRAYS["y_train"][:-1], 10)
    },
    "name each of the 10 classes, but has 3 names": {"class_names": ["a", "b", "c"]},
    r"channels last, .* shape \(60, 3, 28, 28\); save numpy.moveaxis\(x_train, 1, -1\)": {
        "x_train": np.zeros((60, 3, 28, 28), np.uint8),
        "x_test": np.zeros((30, 3, 28, 28), np.uint8),
    },
    "sample_weight can't be used; .* are called sample_weight_train": {
        "sample_weight": np.ones(60)
    },
    "sample_weight_train must be a number for each of the 60 training examples, not float64": {
        "sample_weight_train": np.ones(59)
    },
    "sample_weight_train must be 0 or more, .* the least is -1.0": {
        "sample_weight_train": -np.ones(60)
    },
    "array y_train can't be read: Object arrays cannot be loaded": {
        "y_train": np.array([str(y) for y in ARRAYS["y_train"]], dtype=object)
    },
}


@pytest.mark.parametrize("message", BAD)
def test_each_broken_rule_is_named_with_the_file(message, tmp_path):
    path = saved(tmp_path / "own.npz", **BAD[message])
    with pytest.raises(InputError, match=message) as refused:
        datasets.load(path)
    assert path in str(refused.value)


def test_all_problems_come_at_once(tmp_path):
    path = saved(
        tmp_path / "own.npz", x_train=None, x_test=np.zeros(30), y_test=np.zeros((30, 2, 2))
    )
    with pytest.raises(InputError) as refused:
        datasets.load(path)
    assert len(refused.value.problems) == 3  # missing; rank of x_test; rank of y_test
    labels = np.append(ARRAYS["y_train"][:-1], 12)
    path = saved(tmp_path / "own.npz", y_train=labels, y_test=ARRAYS["y_test"][:-1])
    with pytest.raises(InputError) as refused:
        datasets.load(path)
    assert len(refused.value.problems) == 2  # length; too few of one


def test_files_that_are_no_npz(tmp_path):
    whole = Path(saved(tmp_path / "whole.npz")).read_bytes()
    np.save(tmp_path / "array.npy", ARRAYS["x_train"])
    contents = {
        "empty": b"",
        "text": b"x,y\n1,2\n",
        "pickle": pickle.dumps(ARRAYS),
        "npy": (tmp_path / "array.npy").read_bytes(),
        "cut": whole[: len(whole) // 2],
        "flipped": whole[:3000] + b"\0" * 64 + whole[3064:],
    }
    for name, content in contents.items():
        path = tmp_path / f"{name}.npz"
        path.write_bytes(content)
        with pytest.raises(InputError, match=name):
            datasets.load(str(path))
    (tmp_path / "folder.npz").mkdir()
    for name in ("folder", "absent"):
        with pytest.raises(InputError, match="no such file; check the path"):
            datasets.load(str(tmp_path / f"{name}.npz"))


def test_a_users_loader_is_checked_too(monkeypatch):
    good = from_arrays("own", ARRAYS)
    bad = dataclasses.replace(good, x_train=good.x_train.astype(complex))
    monkeypatch.setattr(registry, "load_loader", lambda name: lambda: bad)
    with pytest.raises(InputError, match="own: x_train must hold numbers"):
        datasets.load("own")
    monkeypatch.setattr(registry, "load_loader", lambda name: lambda: (ARRAYS, ARRAYS))
    with pytest.raises(InputError, match=r"must return .*Dataset"):
        datasets.load("own")
    monkeypatch.setattr(registry, "load_loader", lambda name: lambda: ImageData(**vars(good)))
    assert datasets.load("own").digest == good.digest


def test_a_users_loader_that_fails_is_told_with_its_line(monkeypatch):
    def load():
        raise FileNotFoundError("photos.bin")

    line = load.__code__.co_firstlineno + 1
    monkeypatch.setattr(registry, "load_loader", lambda name: load)
    with pytest.raises(InputError) as refused:
        datasets.load("own")
    where = f"{__file__}:{line}: FileNotFoundError: photos.bin"
    assert str(refused.value) == f"own: its loader failed: {where}; mend it"


def test_own_variant_of_a_named_set_is_used_and_remarked_on(tmp_path, monkeypatch, caplog):
    saved(tmp_path / "own" / "fashion.npz")
    saved(tmp_path / "own" / "cifar10.npz", **some_arrays(shape=(32, 32, 3)))
    monkeypatch.setenv("GRIDLESS_DATA", str(tmp_path / "own"))
    with caplog.at_level(logging.WARNING):
        assert datasets.load("fashion").class_names[1] == "Trouser"
        assert datasets.load("cifar10").class_names[1] == "automobile"
    other, unknown = caplog.messages
    assert "content is another" in other
    assert "can't be checked" in unknown


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_train": None}, "array x_train is missing"),  # not passed over in silence
        (
            some_arrays(n_classes=2),
            "images 28×28×1 in 2 classes, known images 28×28×1 in 10 classes",
        ),
        (
            some_arrays(shape=(32, 32, 3)),
            "images 32×32×3 in 10 classes, known images 28×28×1 in 10 classes",
        ),
    ],
)
def test_own_file_that_is_not_what_its_name_says(changes, message, tmp_path, monkeypatch):
    path = saved(tmp_path / "own" / "fashion.npz", **changes)
    monkeypatch.setenv("GRIDLESS_DATA", str(tmp_path / "own"))
    with pytest.raises(InputError, match=message) as refused:
        datasets.load("fashion")
    assert path in str(refused.value)
    if "known" in message:
        assert f"give DATA={path}, or mend or remove the file" in str(refused.value)
        assert datasets.load(path).name == "fashion-own"  # the remedy works


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("画像.npz", "画像"),
        ("./Übungs bilder", "Übungs-bilder"),
        ("./U\u0308bungs", "Übungs"),  # as macOS writes it
        ("./हिन्दी", "हिन्दी"),
        ("./صور/", "صور"),
        ("./🐱️.x", "x"),
        ("./🐱️", "data"),
        ("fashion@32x32", "fashion-32x32"),
        ("./digits@9x9", "digits-own-9x9"),
    ],
)
def test_names_keep_letters_of_any_script(path, name):
    assert datasets.data_name(path) == name


def test_any_data_can_be_brought_to_a_size(tmp_path, caplog):
    data = datasets.load("digits@16x12")
    assert (data.name, data.input_shape, len(data.y_train)) == ("digits-16x12", (12, 16, 1), 1437)
    saved(
        tmp_path / "own.npz",
        x_train=np.full((60, 4, 8, 2), 7, np.uint8),
        x_test=np.full((30, 4, 8, 2), 7, np.uint8),
        y_test=np.arange(30, dtype=np.uint8) % 9,
    )
    brought = datasets.load("own.npz@3x3")
    assert brought.x_test.shape == (30, 3, 3, 2)
    assert brought.x_test.min() == brought.x_test.max() == 7
    assert "no image of 9" in caplog.text
    for wrong in ("64", "0x4", "4x", "4×4", "99999x4"):
        with pytest.raises(InputError, match=f"--resize: '{wrong}' is no size"):
            datasets.load(datasets.sized("digits", wrong))
