"""Random spaces and settings: every parameter may hang on a value of an earlier one."""

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from search.space.space import ChoiceParam, ConstantParam, FloatParam, IntParam, Param, Space

# The same examples in every run, however slow the machine is.
steadily = settings(
    deadline=None, derandomize=True, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
_NAMES = ["size", "units", "solver", "share", "epochs"]
_LEAVES = st.one_of(
    st.text("abc", min_size=1, max_size=3), st.integers(2, 9), st.booleans(), st.none()
)


@st.composite
def _params(draw: st.DrawFn, discrete: bool) -> dict[str, Any]:
    kind = draw(
        st.sampled_from(
            ["int", "choice", "constant"] if discrete else ["float", "int", "choice", "constant"]
        )
    )
    if kind == "constant":
        return {"type": kind, "value": draw(_LEAVES)}
    if kind == "choice":
        return {
            "type": kind,
            "choices": draw(st.lists(_LEAVES, min_size=1, max_size=4, unique=True)),
        }
    low = draw(st.integers(1, 5))
    step = draw(st.sampled_from([None, 1, 2]))
    high = low + (step or 1) * draw(st.integers(1, 3))
    log = step is None and draw(st.booleans())
    return {"type": kind, "low": low, "high": high, "step": step, "log": log}


@st.composite
def raw_params(draw: st.DrawFn, discrete: bool = False) -> dict[str, Any]:
    params: dict[str, Any] = {}
    for name in draw(st.lists(st.sampled_from(_NAMES[:4]), min_size=1, unique=True)):
        param = draw(_params(discrete))
        if params and draw(st.booleans()):
            parent = draw(st.sampled_from(sorted(params)))
            values = params[parent].get("choices") or [
                params[parent].get("value", params[parent].get("low"))
            ]
            param["when"] = {
                parent: draw(st.lists(st.sampled_from(values), min_size=1, unique=True))
            }
        params[name] = param
    return params


@st.composite
def spaces(draw: st.DrawFn, discrete: bool = False) -> Space:
    params = draw(raw_params(discrete))
    any_order = dict(draw(st.permutations(list(params.items()))))
    # Made here by hand, parents first, so that the code under test is not asked what it should
    # answer.
    document: dict[str, Any] = {}
    for name, raw in params.items():
        if all(
            p in document and document[p] in allowed for p, allowed in raw.get("when", {}).items()
        ):
            document[name] = draw(st.sampled_from(_some(raw)))
    return Space.from_dict({"model": "m", "params": any_order, "document": document})


def _some(raw: dict[str, Any]) -> list[Any]:
    return (
        list(raw["choices"])
        if "choices" in raw
        else [raw["value"]]
        if "value" in raw
        else [raw["low"], raw["high"]]
    )


def values_of(param: Param) -> list[Any]:
    """Valid values of a parameter: all of a discrete one, the ends of a float."""
    match param:
        case ChoiceParam():
            return list(param.choices)
        case ConstantParam():
            return [param.value]
        case IntParam():
            return list(range(param.low, param.high + 1, param.step or 1))
        case FloatParam():
            return [param.low, param.high]


@st.composite
def settings_of(draw: st.DrawFn, space: Space) -> dict[str, Any]:
    setting: dict[str, Any] = {}
    for name in space.order:
        if name in space.active(setting):
            setting[name] = draw(st.sampled_from(values_of(space.params[name])))
    return setting
