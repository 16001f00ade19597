from collections.abc import Callable
from pathlib import Path

import pytest

from search.errors import InputError
from search.space.load import find_space, load_space

GOOD = """\
model: m
params:
  lr: {type: float, low: 1e-3, high: 1, log: true}
  solver: {type: choice, choices: [sgd, on, "1", 1]}
  momentum: {type: float, low: 0, high: 0.9, when: {solver: sgd}}
document: {lr: 1e-1, solver: sgd, momentum: 0}
published: {value: 0.5, split: test, source: a book}
"""

BAD = """\
model: 3
dta: fashion
published: {value: 86, split: tst}
document:
  lr: 0.05
  lr: 0.06
  unit: 3
  depth: 9
params:
  lr: {type: float, low: 1, high: 0.1, log: true, step: 0.1, wen: 3}
  a: {type: flaot, low: 1}
  units: {type: int, low: "1", high: 10.5, step: 3}
  dropout: {type: float, low: 0, log: true, high: 0.5, when: {solvr: sgd}}
  solver:
    type: choice
    choices:
      - sgd
      - adam
      - sgd
      - .nan
      - 2001-01-01
  empty: {type: choice, choices: []}
  text: {type: choice, choices: abc}
  rate: {type: float, low: 0, high: 1, step: 0.3}
  zero: {type: int, low: 1, high: 3, step: 0}
  depth: {type: int, low: 1, high: 3}
  momentum: {type: float, low: 0, high: 0.5, when: {depth: [1, 7]}}
  x: {type: constant, value: 1, when: {y: 1}}
  y: {type: constant, value: 1, when: {x: 1}}
  3: {type: constant, value: 1}
  "a b": {type: constant, value: 1}
  const: {type: constant, value: [1]}
  none: null
  kind: {low: 0, high: 1}
  epochs: {type: int, low: 0, high: 3}
  bools: {type: choice, choices: [1, true], when: 3}
  need: {type: float, high: 1}
  p: {type: choice, choices: [a, b]}
  q: {type: choice, choices: [1, 2], when: {p: a}}
  r: {type: constant, value: 1, when: {q: 1, p: b}}
"""

EXPECTED = """\
1: model: must be text, not 3; put it in quotes
2: dta: unknown key 'dta'; did you mean 'data'?
3: published.split: must be one of test, validation, train, not "tst"; did you mean 'test'?
3: published.value: must be a fraction from 0 to 1, not 86; write 86 % as 0.86
3: published: key 'source' is missing; add `source: …`
4: document: 'p' is missing; give it a value
6: key 'lr' is given twice, first in line 5; remove one
7: document.unit: is not a parameter; did you mean 'units'?
8: document.depth: 9 is out of range; give 1 to 3
10: params.lr.low: low must be below high, but 1 is not below 0.1; swap them
10: params.lr.step: step can't go with log, but is 0.1; take one of them away
10: params.lr.wen: unknown key 'wen'; did you mean 'when'?
11: params.a.type: unknown type "flaot"; did you mean 'float'?
12: params.units.high: must be a whole number without a point, not 10.5
12: params.units.low: must be a whole number without a point, not "1"
13: params.dropout.low: low must be above 0 where log is true, not 0; raise it or take log away
13: params.dropout.when.solvr: 'solvr' is not a parameter; did you mean 'solver'?
19: params.solver.choices.3: the choice "sgd" is listed twice; remove one
20: params.solver.choices.4: must be a finite number, not NaN
21: params.solver.choices.5: must be text, a number, true, false or null, not "2001-01-01"
22: params.empty.choices: choices must not be empty, but are []; list at least one
23: params.text.choices: must be a list such as [16, 32], not "abc"
24: params.rate.step: step must divide high − low, 1, but 0.3 does not; change one
25: params.zero.step: step must be above 0, not 0
27: params.momentum.when.depth: can't hold, since of depth 7 is out of range; give 1 to 3
29: params.y.when: conditions go round in a circle, x → y → x; take one away
30: the key 3 must be text; put it in quotes
31: params.a b: the name 'a b' must be letters, digits and _, as in batch_size
32: params.const.value: must be text, a number, true, false or null, not [1]
33: params.none: must be a mapping such as {type: float, low: 0, high: 1}, not null
34: params.kind: key 'type' is missing; add one of float, int, choice, constant
35: params.epochs.low: must be at least 1, not 0; give a whole number from 1
36: params.bools.choices.2: the choice true can't be told apart from 1; remove one
36: params.bools.when: must be {parameter: value or list of values}, not 3
37: params.need: key 'low' is missing; add `low: …`
40: params.r.when: can never hold; its parents' own conditions exclude it
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Write a space file, by default one that is right, into the working folder's `spaces`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spaces").mkdir()

    def write_file(text: str | bytes = GOOD, name: str = "mine") -> Path:
        path = tmp_path / "spaces" / f"{name}.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write_file


def _problems(path: Path) -> list[str]:
    with pytest.raises(InputError) as error:
        load_space(path)
    return list(error.value.problems)


def test_a_file_reads_as_yaml_1_2(write: Callable[..., Path]) -> None:
    space = load_space(write())
    assert space.document == {"lr": 0.1, "solver": "sgd", "momentum": 0.0}
    assert space.params["solver"].model_dump()["choices"] == ("sgd", "on", "1", 1)
    assert space.published is not None
    assert (space.published.value, space.published.split, space.published.source) == (
        0.5,
        "test",
        "a book",
    )
    twice = load_space(write("# a comment\r\n" + GOOD.replace("\n", "\r\n"), "other"))
    assert twice.digest == space.digest


def test_every_mistake_is_listed_with_its_line(write: Callable[..., Path]) -> None:
    path = write(BAD)
    assert _problems(path) == [f"{path}:{line}" for line in EXPECTED.splitlines()]


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("model: [m\nparams: {}\n", ":2", "not valid YAML"),
        ("model: m\n\tparams: 3\n", ":2", "not valid YAML"),
        ("model: m\n---\nmodel: n\n", ":2", "not valid YAML"),
        ("model: !!python/name:os.system x\n", ":1", "not valid YAML"),
        ("model: *m\n", ":1", "not valid YAML"),
        ("model: m\nparams: &p {lr: *p}\n", ":2", "leads back to itself"),
        ("model: m\x00\n", "", "not valid YAML"),
        ("[" * 5000, "", "nested too deeply"),
        ("", ":1", "is empty"),
        ("- model\n", ":1", "must hold lines"),
        (b"model: m\ndata: \xff\n", ":2", "not UTF-8"),
        (GOOD.replace("params:", "params: 3\nextra:"), ":2", "params: must hold lines"),
        (GOOD.replace("published: {", "published: 3 #"), ":7", "published: must hold the keys"),
    ],
)
def test_what_is_no_space_at_all_is_told_in_one_line(
    write: Callable[..., Path], text: str | bytes, place: str, message: str
) -> None:
    path = write(text)
    assert any(p.startswith(f"{path}{place}: ") and message in p for p in _problems(path))


def test_files_that_cannot_be_read(write: Callable[..., Path]) -> None:
    folder = write().parent
    assert _problems(folder / "no.yaml") == [
        f"{folder / 'no.yaml'}: there is no such file; check the name"
    ]
    assert "can't be read" in _problems(folder)[0]


CHILD = """\
extends: mine
model: child
params:
  solver: null
  lr: {high: 0.5}
  units: {type: int, low: 1, high: 9}
document: {units: 3}
"""


def test_extends_merges_removes_and_keeps_conditions_sound(write: Callable[..., Path]) -> None:
    write()
    space = load_space(write(CHILD, "child"))
    assert space.as_dict()["params"] == {
        "lr": {"type": "float", "low": 1e-3, "high": 0.5, "log": True},
        "momentum": {"type": "float", "low": 0, "high": 0.9},
        "units": {"type": "int", "low": 1, "high": 9},
    }
    assert space.document == {"lr": 0.1, "momentum": 0, "units": 3}
    # Another model's published figure is not this one's.
    assert (space.model, space.published) == ("child", None)
    assert load_space(write("extends: mine\n", "twin")).as_dict() == load_space(write()).as_dict()


def test_mistakes_are_shown_in_the_file_that_makes_them(write: Callable[..., Path]) -> None:
    parent = write(GOOD.replace("high: 0.9, when", "hihg: 0.9, when"))
    child = write(
        CHILD.replace("0.5", "1e-4").replace("units: 3", "units: 30") + "params: {}\n", "child"
    )
    assert _problems(child) == [
        f"{child}:7: document.units: 30 is out of range; give 1 to 9",
        f"{child}:8: key 'params' is given twice, first in line 3; remove one",
        (
            f"{parent}:3: params.lr.low: low must be below high, but 0.001 is not below 0.0001;"
            " swap them"
        ),
        f"{parent}:5: params.momentum.hihg: unknown key 'hihg'; did you mean 'high'?",
        f"{parent}:5: params.momentum: key 'high' is missing; add `high: …`",
    ]
    write()
    vain = write(CHILD.replace("solver: null", "solvr: null"), "vain")
    assert _problems(vain) == [
        f"{vain}:4: params.solvr: can't be removed, since it is not inherited; did you mean"
        " 'solver'?"
    ]


def test_extends_finds_its_own_folder_first_then_what_is_shipped(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "convNN.yaml").write_text("extends: convNN\nparams: {lr: {high: 0.5}}\n")
    assert load_space(folder / "convNN.yaml").params["lr"].model_dump()["high"] == 0.5
    assert load_space(write("extends: mlp\n")).model == "mlp"
    write(GOOD, "mlp")
    assert load_space(write("extends: mlp\n")).model == "m"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("b", "spaces extend each other in a circle, a → b → a"),
        ("a", "spaces extend each other in a circle, a → a"),
        ("convnn", "did you mean 'convNN'?"),
        ("../mlp", "must be the name of a space"),
        ("[b]", "must be the name of a space"),
    ],
)
def test_extends_that_leads_nowhere(write: Callable[..., Path], name: str, message: str) -> None:
    write("model: b\nextends: a\n", "b")
    (problem,) = _problems(write(f"model: a\nextends: {name}\n", "a"))
    assert ":2: extends: " in problem
    assert message in problem


def test_find_space(write: Callable[..., Path], tmp_path: Path) -> None:
    file = write(GOOD, "tiny")
    assert find_space("tiny") == find_space("my.package:tiny") == file
    assert find_space("mlp").name == "mlp.yaml"
    assert find_space("mlp", path="other.yaml") == Path("other.yaml")
    with pytest.raises(InputError, match="did you mean 'tiny'") as error:
        find_space("package:tinny")
    assert str(tmp_path / "spaces") in str(error.value)
    write(GOOD, "mlp")
    assert find_space("mlp") == tmp_path / "spaces" / "mlp.yaml"


def test_a_baseline_is_a_document_by_another_name_and_may_be_left_out(tmp_path: Path) -> None:
    """Neither changes the digest of a space that means the same."""
    params = (
        "params:\n"
        "  units: {type: int, low: 8, high: 32}\n"
        "  lr: {type: float, low: 0.01, high: 1, log: true}\n"
        "  solver: {type: choice, choices: [adam, sgd]}\n"
        "  mix: {type: float, low: 0, high: 1, step: 0.25, when: {solver: adam}}\n"
        "  depth: {type: int, low: 1, high: 8, step: 7}\n"
    )
    middle = "{units: 20, lr: 0.1, solver: adam, mix: 0.5, depth: 1}\n"
    texts = {
        "a": f"document: {middle}",
        "b": f"baseline: {middle}",
        "c": "",
        "d": f"extends: b\n{params}",
    }
    for name, head in texts.items():
        (tmp_path / f"{name}.yaml").write_text(
            f"model: m\n{head}" + ("" if name == "d" else params)
        )
    spaces = [load_space(tmp_path / f"{name}.yaml") for name in texts]
    assert {space.digest for space in spaces} == {spaces[0].digest}
    assert spaces[2].document == {"units": 20, "lr": 0.1, "solver": "adam", "mix": 0.5, "depth": 1}


def test_mistakes_in_a_baseline_are_told_by_the_name_that_the_file_has(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    body = "model: m\nparams: {units: {type: int, low: 1, high: 9}}\nbaseline: {units: 30}\n"
    file.write_text(body)
    with pytest.raises(InputError, match=r":3: baseline\.units: 30 is out of range"):
        load_space(file)
    file.write_text(body + "document: {units: 3}\n")
    with pytest.raises(InputError, match=r":3: baseline: is another name of `document`"):
        load_space(file)
