import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.errors import InputError
from search.space.space import ChoiceParam, ConstantParam, FloatParam, IntParam, Space
from search.space.values import is_in
from tests.space.strategies import settings_of, spaces, steadily, values_of


@pytest.fixture
def space() -> Space:
    """One parameter of each kind, and two that depend on others."""
    return Space(
        model="m",
        params={
            "momentum": FloatParam(low=0, high=0.9, when={"solver": "sgd"}),
            "solver": ChoiceParam(choices=["sgd", "adam", None]),
            "lr": FloatParam(low=1e-4, high=1, log=True),
            "units": IntParam(low=10, high=50, step=20),
            "rate": FloatParam(low=0, high=0.3, step=0.1),
            "seed": ConstantParam(value=3, when={"units": [10, 50], "solver": ["adam", "sgd"]}),
        },
        document={"momentum": 0, "solver": "sgd", "lr": 1, "units": 30, "rate": 0},
    )


@steadily
@given(spaces())
def test_a_space_survives_json(any_space: Space) -> None:
    assert Space.from_dict(json.loads(json.dumps(any_space.as_dict()))) == any_space


@steadily
@given(spaces(), spaces())
def test_digests_ignore_writing_and_differ_exactly_where_a_difference_is_shown(
    one: Space, other: Space
) -> None:
    raw = one.as_dict()
    rewritten = {
        "document": {n: _otherwise(v) for n, v in reversed(raw["document"].items())},
        "params": {n: _otherwise(p) for n, p in reversed(raw["params"].items())},
        "model": "another",
    }
    same = Space.from_dict(rewritten)
    assert (same.digest, same.difference(one)) == (one.digest, [])
    assert (one.digest == other.digest) == (one.difference(other) == [])


def test_digests_do_not_tell_1_from_1_0_but_from_true() -> None:
    def digest(one: Any) -> str:
        params = {"x": ChoiceParam(choices=[one, "a"]), "y": ConstantParam(value=one)}
        return Space(model="m", params=params, document={"x": one, "y": one}).digest

    assert digest(1) == digest(1.0)
    assert len({digest(1), digest(True), digest("1"), digest(1.5)}) == 4


def _otherwise(value: Any) -> Any:
    """The same in other words: keys backwards, floats as whole numbers where they are whole."""
    if isinstance(value, dict):
        return {k: _otherwise(v) for k, v in reversed(value.items())}
    return int(value) if isinstance(value, float) and value.is_integer() else value


@steadily
@given(spaces(), st.data())
def test_complete_keeps_what_is_given_and_adds_what_is_needed(
    any_space: Space, data: st.DataObject
) -> None:
    setting_drawn = data.draw(settings_of(any_space))
    assert any_space.problems_of(setting_drawn) == []
    # Any part that holds the parents of all it holds.
    partial: dict[str, Any] = {}
    for name, value in setting_drawn.items():
        if set(any_space.params[name].when or {}) <= partial.keys() and data.draw(st.booleans()):
            partial[name] = value
    setting = any_space.complete(partial)
    assert any_space.problems_of(setting) == []
    assert setting.items() >= partial.items()


@steadily
@given(spaces(), st.data())
def test_a_setting_is_made_of_values_for_what_is_active(
    any_space: Space, data: st.DataObject
) -> None:
    names: list[str] = []

    def draw(name: str) -> Any:
        names.append(name)
        return data.draw(st.sampled_from(values_of(any_space.params[name])))

    setting = any_space.setting(draw)
    assert any_space.problems_of(setting) == []
    assert names == list(setting)


@steadily
@given(spaces())
def test_corners_are_valid_distinct_and_reach_every_end(any_space: Space) -> None:
    corners = any_space.corners()
    assert corners[0] == any_space.document
    assert [any_space.problems_of(c) for c in corners] == [[]] * len(corners)
    assert len({json.dumps(c, sort_keys=True) for c in corners}) == len(corners)
    for name, param in any_space.params.items():
        ends = (
            [param.low, param.high]
            if isinstance(param, FloatParam | IntParam)
            else values_of(param)
        )
        assert all(any(c.get(name, "absent") == end for c in corners) for end in ends)


@steadily
@given(spaces(discrete=True))
def test_n_combinations_is_the_number_of_settings(any_space: Space) -> None:
    settings: list[dict[str, Any]] = [{}]
    for name in any_space.order:
        values = values_of(any_space.params[name])
        settings = [
            one
            for s in settings
            for one in ([{**s, name: v} for v in values] if name in any_space.active(s) else [s])
        ]
    assert any_space.n_combinations == len(settings)


@steadily
@given(spaces(), st.data())
def test_pinning_and_dropping_leave_a_sound_space(any_space: Space, data: st.DataObject) -> None:
    setting = data.draw(settings_of(any_space))
    pinned = any_space.fix(setting)
    assert pinned.document == setting
    assert (pinned.order != [], pinned.n_combinations) == (True, 1)
    for name, param in any_space.params.items():
        if isinstance(param, ChoiceParam) and len(param.choices) > 1:
            dropped = data.draw(st.sampled_from(param.choices))
            left = any_space.without(name, [dropped])
            assert any_space.problems_of(left.document) == []
            assert not is_in(dropped, values_of(left.params[name]))


def test_parents_come_first_and_the_rest_keeps_its_order(space: Space) -> None:
    assert space.order == ["solver", "momentum", "lr", "units", "rate", "seed"]
    assert space.active({"solver": "adam", "units": 10}) == [
        "solver",
        "lr",
        "units",
        "rate",
        "seed",
    ]
    assert space.active({}) == ["solver", "lr", "units", "rate"]
    # momentum: 10 with sgd; seed: with two of three units, unless solver is null; 10 lr, 4 rates.
    assert space.n_combinations == (10 + 1 + 1) * 10 * 3 * 4


def test_document_values_take_their_parameters_types(space: Space) -> None:
    assert (type(space.document["lr"]), type(space.document["units"])) == (float, int)
    assert type(space.complete({"rate": 0})["rate"]) is float


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"lr": 2}, ["lr: 2 is out of range; give 0.0001 to 1.0"]),
        ({"lr": True}, ["lr: must be a number, not true"]),
        ({"lr": "0.1"}, ['lr: must be a number, not "0.1"; write it without quotes']),
        ({"lr": float("nan")}, ["lr: must be a finite number, not NaN"]),
        ({"units": True}, ["units: must be a whole number without a point, not true"]),
        ({"units": 30.0}, ["units: must be a whole number without a point, not 30.0"]),
        ({"units": 40}, ["units: 40 is off the steps; give 10 plus a multiple of 20"]),
        ({"rate": 0.1 + 0.2}, ["rate: 0.30000000000000004 is out of range; give 0.0 to 0.3"]),
        ({"rate": 0.1 * 3 - 0.1}, []),
        ({"rate": 0.15}, ["rate: 0.15 is off the steps; give 0.0 plus a multiple of 0.1"]),
        ({"solver": "sdg"}, ['solver: "sdg" is not a choice; give one of "sgd", "adam", null']),
        ({"solver": "adam"}, ["momentum: is used only when solver is sgd; leave it out"]),
        ({"units": 10}, ["seed: is missing; give it a value"]),
        ({"units": 10, "seed": 4}, ["seed: is fixed to 3, not 4; leave it out or change it there"]),
        ({"unit": 10}, ["unit: is not a parameter; did you mean 'units'?"]),
    ],
)
def test_problems_name_rule_value_and_remedy(
    space: Space, change: dict[str, Any], expected: list[str]
) -> None:
    assert space.problems_of({**space.document, **change}) == expected


def test_a_bool_is_not_a_number_nor_the_other_way_round() -> None:
    params = {"flag": ChoiceParam(choices=[False, True]), "depth": ChoiceParam(choices=[1, 2])}
    space = Space(model="m", params=params, document={"flag": False, "depth": 1.0})
    assert type(space.document["depth"]) is int
    assert [p.split(":")[0] for p in space.problems_of({"flag": 1, "depth": True})] == [
        "flag",
        "depth",
    ]


def test_complete_lists_every_problem_of_what_was_given(space: Space) -> None:
    assert space.complete({"units": 50}) == {**space.document, "units": 50, "seed": 3}
    assert space.complete({"solver": None}) == {"solver": None, "lr": 1, "units": 30, "rate": 0}
    with pytest.raises(InputError) as error:
        space.complete({"lr": 7, "solvr": "sgd", "seed": 3})
    assert [p.split(":")[0] for p in error.value.problems] == ["solvr", "lr", "seed"]


def test_fix_drops_what_can_no_longer_be_active(space: Space) -> None:
    pinned = space.fix({"solver": None})
    assert list(pinned.params) == ["solver", "lr", "units", "rate"]
    assert pinned.document == {"solver": None, "lr": 1, "units": 30, "rate": 0}
    with pytest.raises(InputError) as error:
        space.fix({"solver": "sdg", "unit": 3, "units": 11})
    assert len(error.value.problems) == 3
    with pytest.raises(InputError, match="momentum: is used only when solver is sgd"):
        space.fix({"solver": "adam", "momentum": 0.5})


def test_without_repairs_the_document_and_the_conditions(space: Space) -> None:
    left = space.without("solver", ["sgd"])
    assert left.document == {"solver": "adam", "lr": 1, "units": 30, "rate": 0}
    assert (left.params["seed"].when or {})["solver"] == ("adam",)
    assert "momentum" not in left.params
    for name, values in [
        ("solver", ["sgd", "adam", None]),
        ("solver", ["adm"]),
        ("lr", [1]),
        ("x", [1]),
    ]:
        with pytest.raises(InputError, match=f"{name}: "):
            space.without(name, values)


def test_difference_reads_like_the_file(space: Space) -> None:
    raw = space.as_dict()
    raw["params"]["lr"]["high"] = 0.1
    raw["params"]["units"] = {"type": "choice", "choices": [10, 50]}
    del raw["params"]["rate"], raw["document"]["rate"]
    raw["params"]["depth"] = {"type": "constant", "value": 1}
    raw["document"] |= {"lr": 0.05, "units": 50, "seed": 3, "depth": 1}
    assert space.difference(Space.from_dict(raw)) == [
        "lr.high: 1.0 → 0.1",
        "units: int, low 10, high 50, step 20 → choice, choices [10, 50]",
        "rate: removed",
        "depth: added",
        "document.lr: 1.0 → 0.05",
        "document.units: 30 → 50",
        "document.rate: 0.0 → none",
        "document.seed: none → 3",
        "document.depth: none → 1",
    ]


@pytest.mark.parametrize(
    ("param", "expected"),
    [
        (IntParam(low=5, high=15), 15),
        (ChoiceParam(choices=[10, 50, 20]), 50),
        (ConstantParam(value=7), 7),
        (None, None),
    ],
)
def test_max_epochs(param: Any, expected: int | None) -> None:
    params = {"x": ConstantParam(value=0)} | ({"epochs": param} if param else {})
    document = {"x": 0} | ({"epochs": 10 if expected != 7 else 7} if param else {})
    assert Space(model="m", params=params, document=document).max_epochs == expected


def test_bad_parts_raise_input_error_with_every_mistake() -> None:
    with pytest.raises(InputError) as error:
        Space(model="m", params={"lr": FloatParam(low=2, high=1, log=True, step=1)}, document={})
    assert len(error.value.problems) == 2
    with pytest.raises(InputError) as error:
        Space.from_dict({"extends": "x", "params": {}, "document": []})
    assert [p.split(":")[0] for p in error.value.problems] == [
        "space",
        "extends",
        "params",
        "document",
    ]
