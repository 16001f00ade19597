"""Builders of programs and notebooks: compared by source, stored, and read by other processes."""

import functools
import importlib
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from search.errors import InputError
from search.pickled import Pickled, difference, pickled, python_version, source_of
from search.registry import takes_facts, takes_hp
from search.user_code import user_code

CELL = """
from functools import partial
RATE = 0.5

def helper(units):
    return units * RATE

class Block:
    sizes = [1, 2]
    def call(self, units):
        return helper(units)

def build(hp):
    return Block().call(hp.Int("units", 1, 4))

class Net:
    def __init__(self, depth):
        self.depth = depth
    def __call__(self, params, *, input_shape, n_classes):
        return helper(self.depth)

class Slots:
    __slots__ = ("depth",)
    def __init__(self, depth):
        self.depth = depth
    def __call__(self, hp):
        return self.depth

net = Net(3)
slots = Slots(3)
part = partial(Net.__call__, net)
one, two = lambda hp: RATE, lambda hp: helper(1)
"""


@pytest.fixture
def cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs code as a notebook's cells are run: each in a file of its own, as `__main__`."""
    cells = iter(range(100))

    def run(code: str, **names: Any) -> SimpleNamespace:
        file = tmp_path / f"cell{next(cells)}.py"
        file.write_text(code)
        values = {"__name__": "__main__", **names}
        exec(compile(code, str(file), "exec"), values)
        return SimpleNamespace(**values)

    return run


@pytest.mark.parametrize("name", ["build", "net", "slots", "part", "one", "two"])
def test_a_cell_that_is_run_again_gives_the_same_builder(cell: Any, name: str) -> None:
    first = pickled(getattr(cell(CELL), name))
    again = pickled(getattr(cell("\n# moved\n" + CELL.replace("(units)", "(units)  ")), name))
    assert first.model == again.model
    assert difference(first, again) == ""


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("build", "units * RATE", "units + RATE"),
        ("build", "RATE = 0.5", "RATE = 0.25"),
        ("build", "sizes = [1, 2]", "sizes = [1, 3]"),
        ("net", "Net(3)", "Net(4)"),
        ("slots", "Slots(3)", "Slots(4)"),
        ("part", "Net(3)", "Net(4)"),
        ("one", "lambda hp: RATE", "lambda hp: -RATE"),
        ("two", "helper(1)", "helper(2)"),
    ],
)
def test_another_builder_is_told_with_what_changed(
    cell: Any, name: str, before: str, after: str
) -> None:
    then = pickled(getattr(cell(CELL), name))
    now = pickled(getattr(cell(CELL.replace(before, after)), name))
    assert then.model != now.model
    removed, added = [
        line
        for line in difference(then, now).splitlines()
        if line[:1] in "-+" and line[1] not in "-+"
    ]
    assert removed.startswith("-")
    assert added.startswith("+")
    assert {"Net(3)": "'depth': 4", "Slots(3)": "'depth': 4"}.get(
        before, after.rpartition(" ")[2]
    ) in added


LAYERS = """
import keras
from keras import layers
augment = keras.Sequential([layers.RandomCrop(8, 8), layers.RandomRotation(0.1)], name="augment")
dense = layers.Dense(3, kernel_initializer=keras.initializers.HeNormal())
def build(hp):
    return augment, dense
"""


def test_layers_around_it_are_told_by_what_they_were_made_with(cell: Any) -> None:
    first, again = cell(LAYERS), cell(LAYERS)
    assert pickled(first.build).model == pickled(again.build).model
    again.augment(np.zeros((1, 9, 9, 3)))  # looked at in between
    assert difference(pickled(first.build), pickled(again.build)) == ""
    other = cell(LAYERS.replace("RandomRotation(0.1)", "RandomRotation(0.2)"))
    assert "factor=[-0.2, 0.2]" in difference(pickled(first.build), pickled(other.build))


def test_code_without_a_file_is_told_by_its_bytecode() -> None:
    def made(code: str) -> Any:
        names: dict[str, Any] = {"__name__": "__main__"}
        exec(f"def build(hp): return {code}", names)
        return pickled(names["build"])

    assert made("1 + hp").model == made("1 + hp").model
    assert len({made(code).model for code in ("1 + hp", "hp + 1", "2 + hp")}) == 3
    assert "whose source can't be found" in made("hp").texts["build"]


def test_lambdas_of_one_line_are_told_apart(cell: Any) -> None:
    cells = cell(CELL)
    assert "helper(1)" not in str(pickled(cells.one).texts)
    assert "helper(1)" in str(pickled(cells.two).texts)


def test_what_was_stored_builds_the_same(cell: Any) -> None:
    stored = Pickled.from_json(pickled(cell(CELL).net).as_json())
    with pytest.raises(InputError, match=r"is not on this machine: .*--allow-pickled"):
        source_of(stored.model)
    stored.keep()
    assert source_of(stored.model)({}, input_shape=(1,), n_classes=2) == 1.5
    assert user_code(stored.model) == {"Net": stored.model[8:20]}
    assert source_of("mlp").__module__ == "search.models.mlp"


def test_another_python_is_told(cell: Any) -> None:
    other = Pickled.from_json(pickled(cell(CELL).build).as_json() | {"python": "3.10"})
    other.keep()
    with pytest.raises(InputError, match=r"was pickled by Python 3\.10, and this is 3\.1"):
        source_of(other.model)


def test_what_another_machine_lacks_is_told() -> None:
    stored = Pickled("build", {"build": "…"}, python_version(), b"cnowhere\nbuild\n.")
    stored.keep()
    with pytest.raises(InputError, match=r"unpickled \(No module named 'nowhere'\); install what"):
        source_of(stored.model)


def test_a_persons_own_modules_go_with_it(
    cell: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_layers.py").write_text("import own_sizes\ndef f():\n    return own_sizes.N\n")
    (tmp_path / "own_sizes.py").write_text("N = 7\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    stored = pickled(cell("import own_layers\ndef build(hp):\n    return own_layers.f()").build)
    assert {"own_layers", "own_sizes"} < stored.texts.keys()
    for name in ("own_layers", "own_sizes"):
        del sys.modules[name]
    monkeypatch.setattr(sys, "path", [])
    assert pickle.loads(stored.content)(None) == 7


def test_all_that_can_not_be_stored_is_told_at_once(cell: Any, tmp_path: Path) -> None:
    with (tmp_path / "notes").open("w") as file:
        names = {
            "file": file,
            "rows": (n for n in "ab"),
            "x_train": np.zeros((600, 28, 28)),
            "on_gpu": SimpleNamespace(device="/job:localhost/replica:0/task:0/device:GPU:0"),
        }
        code = "def build(hp):\n    return file, rows, x_train, on_gpu"
        with pytest.raises(InputError) as caught:
            pickled(cell(code, **names).build)
    problems = {problem.split()[3].rstrip(","): problem for problem in caught.value.problems}
    assert problems.keys() == names.keys()
    assert "an open file" in problems["file"]
    assert "a generator, which can't be stored" in problems["rows"]
    assert "an array of 3.6 MB" in problems["x_train"]
    assert "a tensor on a GPU" in problems["on_gpu"]


def test_a_builder_that_is_too_large_is_told_with_what_makes_it_so(cell: Any) -> None:
    parts = [np.random.default_rng(n).random(60_000) for n in range(3)]
    with pytest.raises(
        InputError, match=r"uses \(parts 1\.4 MB\) it takes 1\.4 MB, at most 1\.0 MB"
    ):
        pickled(cell("def build(hp):\n    return parts", parts=parts).build)


def test_what_is_no_builder_is_told() -> None:
    network = SimpleNamespace(trainable_weights=[])
    with pytest.raises(InputError, match="build: it is a network; give a function that makes one"):
        pickled(network)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="build: it must be callable as build"):
        pickled(lambda rows: rows)


def test_objects_and_partials_are_builders_as_functions_are() -> None:
    class Net:
        def __call__(self, hp: Any) -> None: ...

    def facts(input_shape: Any, n_classes: int, width: int) -> None: ...

    assert takes_hp(Net())
    assert not takes_hp(Net)
    assert takes_facts(functools.partial(facts, width=3))
    assert not takes_facts(facts)
