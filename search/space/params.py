"""The kinds of parameter, what each allows, and the head of a space file."""

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from search.space.values import (
    AnyValue,
    Flag,
    Fraction,
    Number,
    OptionalNumber,
    OptionalText,
    OptionalWhole,
    Split,
    Text,
    Value,
    When,
    Whole,
    is_in,
    number_problem,
    same,
    show,
    shown,
    whole_problem,
)

GRID_POINTS = 10
"""How many values a full grid would take of a float without a step."""


class Strict(BaseModel):
    """Frozen, and an unknown key is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class FloatParam(Strict):
    """A real number from `low` to `high`, both included; `log` searches magnitudes evenly."""

    type: Literal["float"] = "float"
    low: Number
    high: Number
    log: Flag = False
    step: OptionalNumber = None
    when: When = None


class IntParam(Strict):
    """A whole number from `low` to `high`, both included, every `step`-th (without one: every)."""

    type: Literal["int"] = "int"
    low: Whole
    high: Whole
    log: Flag = False
    step: OptionalWhole = None
    when: When = None


class ChoiceParam(Strict):
    """One of `choices`, without an order between them."""

    type: Literal["choice"] = "choice"
    choices: Annotated[tuple[AnyValue, ...], Field(strict=False)]
    when: When = None


class ConstantParam(Strict):
    """Always `value`; shown with the trial, never searched."""

    type: Literal["constant"] = "constant"
    value: AnyValue
    when: When = None


Param: TypeAlias = FloatParam | IntParam | ChoiceParam | ConstantParam
PARAM_TYPES: dict[str, type[Param]] = {
    "float": FloatParam,
    "int": IntParam,
    "choice": ChoiceParam,
    "constant": ConstantParam,
}


class Published(Strict):
    """The document's figure: an accuracy (a fraction), the split it was measured on, its source."""

    value: Fraction
    split: Split
    source: Text


class Head(Strict):
    """What a space says of itself: its model, the document's data set, and the document."""

    model: Text
    data: OptionalText = None
    source: OptionalText = None


def ends(param: Param) -> tuple[Value, ...]:
    """Return the extremes of a range, or every choice; the first is the lowest."""
    if isinstance(param, ChoiceParam):
        return param.choices
    return (param.value,) if isinstance(param, ConstantParam) else (param.low, param.high)


def as_written(param: Param, value: Value) -> Value:
    """A valid `value` as the parameter writes it: 0 becomes 0.0 for a float, 10.0 the choice 10."""
    if isinstance(param, FloatParam):
        return float(value)  # type: ignore[arg-type]  # the caller has checked it
    listed = () if isinstance(param, IntParam) else ends(param)
    return next((v for v in listed if same(v, value)), value)


def problem_of(param: Param, value: object) -> str | None:
    """Why `value` is none of the parameter's, with the remedy; None if it is one."""
    if isinstance(param, ConstantParam):
        fits = same(param.value, value)
        return (
            None
            if fits
            else (
                f"is fixed to {show(param.value)}, not {show(value)}; leave it out or change it"
                " there"
            )
        )
    if isinstance(param, ChoiceParam):
        return _choice_problem(param, value)
    if problem := whole_problem(value) if isinstance(param, IntParam) else number_problem(value):
        return problem
    if not isinstance(value, int | float) or not param.low <= value <= param.high:
        return f"{show(value)} is out of range; give {show(param.low)} to {show(param.high)}"
    if param.step and not divides(param.step, value - param.low):
        return (
            f"{show(value)} is off the steps; give {show(param.low)} plus a multiple of"
            f" {show(param.step)}"
        )
    return None


def _choice_problem(param: ChoiceParam, value: object) -> str | None:
    if is_in(value, param.choices):
        return None
    # "1" and 1 look alike on a command line and in YAML, and are the usual slip.
    twin = next((c for c in param.choices if str(c) == str(value)), None)
    hint = f"; write {show(twin)}" if twin is not None else f"; give one of {shown(param.choices)}"
    return f"{show(value)} is not a choice{hint}"


def divides(step: float, span: float) -> bool:
    """Whether `span` is a whole number of steps, but for rounding."""
    quotient = span / step
    return abs(quotient - round(quotient)) < 1e-8 * max(1.0, abs(quotient))


def n_points(param: Param) -> int:
    """How many values a full grid would take of this parameter."""
    if isinstance(param, ChoiceParam | ConstantParam):
        return len(ends(param))
    if isinstance(param, IntParam):
        return (param.high - param.low) // (param.step or 1) + 1
    return round((param.high - param.low) / param.step) + 1 if param.step else GRID_POINTS
