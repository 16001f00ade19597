"""Programs that ask a KerasTuner `hp`, random ones too: trial 0 has its defaults, and no build gets
what it excludes.

They build no network, so that many can be tried.
"""

from collections.abc import Callable
from typing import Any

import keras_tuner
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from search.errors import InputError
from search.space.conditions import learned
from search.space.from_kerastuner import space_from, space_of
from search.space.hyper_choices import FOUND, fits, for_builder, hyper_of
from search.space.space import Space
from search.training.exploration import Exploration
from search.training.hypermodel import asking_hp, setting_hp

Program = Callable[[Any], Any]


def explored(program: Program, sizes: tuple[int, ...] = ()) -> tuple[Space, list[str]]:
    """The space of a program that builds nothing, and what is told of it."""
    exploration = Exploration(lambda hp: program(hp) is None, asking_hp, sizes)
    exploration.run()
    hypers = learned(exploration.hypers, exploration.builds)
    return space_from("m", hypers, compiles=True), exploration.notices


def defaults(program: Program) -> dict[str, Any]:
    """What KerasTuner's first trial has."""
    hp = keras_tuner.HyperParameters()
    program(hp)
    return dict(hp.values)


def replayed(program: Program, setting: dict[str, Any]) -> list[tuple[str, Any]]:
    """What a setting gives the program, each value checked against the range that it is asked for
    with.
    """
    hp = setting_hp(for_builder(setting, FOUND))
    retrieve, values = hp._retrieve, []

    def checked(one: Any) -> Any:
        value = retrieve(one)
        if value is not None:
            assert fits(
                hyper_of({"class_name": type(one).__name__, "config": one.get_config()}).raw, value
            )
            values.append((one.name, value))
        return value

    hp._retrieve = checked
    program(hp)
    return values


def settings_of(space: Space, n: int = 20) -> list[dict[str, Any]]:
    """Random replays of `space`."""
    chance = np.random.default_rng(0)
    replays = []
    for _ in range(n):

        def value_of(name: str) -> Any:
            param = space.params[name]
            match param.type:
                case "choice":
                    return param.choices[chance.integers(len(param.choices))]
                case "constant":
                    return param.value
            points = np.arange(
                param.low, param.high + 1e-9, param.step or (1 if param.type == "int" else 0.1)
            )
            return (int if param.type == "int" else float)(chance.choice(points))

        replays.append(space.setting(value_of))
    return replays


def layers(hp: Any) -> None:
    for i in range(hp.Int("n_layers", 1, 15, default=2)):
        hp.Int(f"units_{i}", 8, 64, step=8)


def many(hp: Any) -> None:
    """More than can be tried."""
    for i in range(hp.Int("n_layers", 1, 20)):
        hp.Int(f"units_{i}", 8, 64)
        hp.Choice(f"activation_{i}", [f"{a}{i}" for a in "abc"])
        hp.Boolean(f"dropout_{i}")


def branches(hp: Any) -> None:
    if hp.Choice("kind", ["mlp", "cnn"]) == "mlp":
        hp.Int("k", 16, 24)
    else:
        hp.Int("k", 1, 3)


def scopes(hp: Any) -> None:
    hp.Choice("kind", ["mlp", "cnn"], default="cnn")
    for kind, default in (("mlp", 32), ("cnn", 16)):
        with hp.conditional_scope("kind", [kind]):
            hp.Int("units", 8, 64, step=8, default=default)


def off_the_grid(hp: Any) -> None:
    hp.Int("n", 1, 100, step=10, sampling="log", default=5)
    hp.Float("rate", 1e-4, 1, step=10, sampling="log", default=0.05)
    hp.Int("reverse", 1, 50, step=10, sampling="reverse_log")
    hp.Int("units", 32, 512, step=32, default=100)
    hp.Float("share", 0, 0.5, step=0.2, default=0.3)
    hp.Int("beyond", 1, 4, default=9)


def dependent(hp: Any) -> None:
    hp.Int("inner", 8, hp.Int("outer", 16, 128, step=16, default=64))


def narrowing(hp: Any) -> None:
    high = 512
    for i in range(hp.Int("layers", 1, 4)):
        high = hp.Int(f"units_{i}", 32, high, step=32)


def twice(hp: Any) -> None:
    hp.Int("k", 16, 24)
    hp.Int("k", 1, 3)


def again(hp: Any) -> None:
    hp.Int("k", 1, 9, default=6)
    hp.Int("k", 4, 16)


def threshold(hp: Any) -> None:
    if hp.Int("width", 1, 64) > 20:
        hp.Boolean("wide")
    if hp.Boolean("parent"):
        hp.Int("child", 1, 2, parent_name="parent", parent_values=[True])


FIXED = [layers, branches, scopes, off_the_grid, dependent, narrowing, twice, again, threshold]


@pytest.mark.parametrize("program", FIXED)
def test_trial_0_has_keras_tuners_defaults_and_no_build_gets_a_value_that_it_excludes(
    program: Program,
) -> None:
    space, _ = explored(program)
    hp = setting_hp(space.document)
    program(hp)
    assert hp.values == defaults(program)
    for setting in settings_of(space):
        replayed(program, setting)


@pytest.mark.parametrize("program", [layers, branches, scopes, twice, threshold])
def test_a_setting_lists_what_its_build_asks_for_and_nothing_else(program: Program) -> None:
    space, _ = explored(program)
    for setting in settings_of(space):
        names_asked = {value for _, value in replayed(program, setting)}
        assert names_asked == {v for n, v in setting.items() if n != "batch_size"}
        assert len(replayed(program, setting)) == len(setting) - 1


def test_each_range_of_a_name_is_a_parameter_and_one_that_depends_on_a_number_spans_all() -> None:
    space, _ = explored(branches)
    assert {n: p.when for n, p in space.params.items() if n[0] == "k"} == {
        "kind": None,
        "k": {"kind": ("mlp",)},
        "k__2": {"kind": ("cnn",)},
    }
    inner = explored(dependent)[0].params["inner__any"]
    assert (inner.low, inner.high, inner.when) == (8, 128, None)
    assert dict(replayed(dependent, {"outer": 16, "inner__any": 90})) == {"outer": 16, "inner": 16}
    wide = explored(threshold)[0].params["wide"]
    assert wide.when == {"width": tuple(range(21, 65))}
    assert explored(again)[1] == [
        "k is asked for again in one build with another range: it is one value there, taken to the"
        " nearest in each"
    ]


def test_of_a_space_too_large_to_try_all_the_conditions_come_first() -> None:
    space, _ = explored(many)
    for i in range(1, 20):
        assert space.params[f"dropout_{i}"].when == {"n_layers": tuple(range(i + 1, 21))}


def test_a_space_file_may_have_values_that_the_builder_does_not_list() -> None:
    hp = setting_hp({"rate": 0.003})
    assert hp.Choice("rate", [0.01, 0.001]) == 0.003


def test_what_can_not_be_built_is_dropped_and_said() -> None:
    def program(hp: Any) -> None:
        size = hp.Int("size", 4, 32)
        scale = hp.Choice("scale", ["a", "b", "c"], default="b")
        depth = hp.Int("depth", 1, 6)
        if size != 8 or scale == "b" or depth > 4:
            raise ValueError(f"no {size} {scale} {depth}")

    with pytest.raises(InputError, match="no 4 b 1"):
        explored(program, sizes=(8,))

    def one_size(hp: Any) -> None:
        size, depth = hp.Int("size", 4, 32), hp.Int("depth", 1, 6, default=6)
        if size != 8 or hp.Choice("scale", ["a", "b", "c"]) == "c":
            raise ValueError(f"no size {size}")
        if depth > 4 and hp.Boolean("pool"):
            raise ValueError("too deep")

    space, notices = explored(one_size, sizes=(8,))
    assert space.as_dict()["params"]["size"] == {"type": "constant", "value": 8}
    assert space.as_dict()["params"]["scale"]["choices"] == ["a", "b"]
    assert space.document["size"] == 8
    assert "trial 0 has size = 8: the default can't be built" in notices
    assert any('scale is searched in "a", "b", without "c"' in n for n in notices)


def test_settings_that_can_not_be_built_together_are_told() -> None:
    def program(hp: Any) -> None:
        if hp.Int("blocks", 1, 6) + hp.Int("pool", 1, 6) > 7:
            raise ValueError("nothing is left of the image")

    space, notices = explored(program)
    assert {p.high for n, p in space.params.items() if n != "batch_size"} == {6}
    assert len(notices) == 1
    assert "settings drawn at random can't be built" in notices[0]
    assert "nothing is left of the image" in notices[0]


NUMBERS = st.builds(
    lambda low, span, step, default: {
        "low": low,
        "high": low + span,
        "step": step,
        "default": default,
    },
    st.integers(1, 9),
    st.integers(0, 40),
    st.sampled_from([None, 2, 3]),
    st.integers(0, 49),
)
ASK = st.one_of(
    st.tuples(st.just("Int"), st.sampled_from(["linear", "log", "reverse_log"]), NUMBERS),
    st.tuples(st.just("Float"), st.sampled_from(["linear", "log"]), NUMBERS),
    st.tuples(
        st.just("Choice"), st.just(""), st.sampled_from([["a", "b", "c"], [4, 8], [0.1, 0.2]])
    ),
    st.tuples(st.just("Boolean"), st.just(""), st.booleans()),
    st.tuples(st.just("Fixed"), st.just(""), st.sampled_from([3, "x", True])),
)
BLOCK = st.recursive(
    st.lists(st.tuples(st.sampled_from("abcdef"), ASK), min_size=1, max_size=3),
    lambda block: st.lists(
        st.tuples(
            st.sampled_from(["if", "scope", "loop", "name"]), st.sampled_from("xyz"), block, block
        ),
        min_size=1,
        max_size=2,
    ),
    max_leaves=6,
)


def ask(hp: Any, name: str, what: Any) -> None:
    kind, sampling, rest = what
    if kind in {"Int", "Float"}:
        low, high = rest["low"], rest["high"]
        default = low + rest["default"] % (high - low + 1)
        getattr(hp, kind)(name, low, high, step=rest["step"], sampling=sampling, default=default)
    elif kind == "Choice":
        hp.Choice(name, rest, default=rest[-1])
    elif kind == "Boolean":
        hp.Boolean(name, default=rest)
    else:
        hp.Fixed(name, rest)


def run(hp: Any, block: Any, path: str = "") -> None:
    """A random program: what it branches on has names of its own, what it asks for may share
    them.
    """
    for i, statement in enumerate(block):
        if len(statement) == 2:
            ask(hp, *statement)
            continue
        how, letter, one, other = statement
        name = f"{letter}{path}{i}"
        match how:
            case "if":
                run(
                    hp,
                    one if hp.Choice(name, ["p", "q"], default="q") == "p" else other,
                    f"{path}{i}",
                )
            case "scope":
                hp.Choice(name, ["p", "q"], default="q")
                for value, part in (("p", one), ("q", other)):
                    with hp.conditional_scope(name, [value]):
                        run(hp, part, f"{path}{i}{value}")
            case "loop":
                for k in range(hp.Int(name, 0, 2, default=1) or 0):
                    with hp.name_scope(f"{name}_{k}"):
                        run(hp, one, f"{path}{i}")
            case "name":
                with hp.name_scope(name):
                    run(hp, other, f"{path}{i}")


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(BLOCK)
def test_of_random_programs_trial_0_has_the_defaults_and_values_stay_in_their_ranges(
    block: Any,
) -> None:
    def program(hp: Any) -> None:
        run(hp, block)

    expected = defaults(program)
    try:
        space, _ = explored(program)
    except InputError as error:
        assume("more than" not in str(error) and "both be called" not in str(error))
        raise
    hp = setting_hp(space.document)
    program(hp)
    assert hp.values == expected
    for setting in settings_of(space, 5):
        replayed(program, setting)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(BLOCK)
def test_of_random_programs_that_keras_tuner_stored_trial_0_has_the_defaults(block: Any) -> None:
    stored = keras_tuner.HyperParameters()
    run(stored, block)
    try:
        space = space_of("m", stored.get_config()["space"], compiles=True)
    except InputError:
        assume(False)
    hp = setting_hp(space.document)
    run(hp, block)
    assert hp.values == stored.values
