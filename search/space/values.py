"""Plain values in a space file: what is accepted, when two are the same, how they are shown."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeAlias

from pydantic import PlainValidator
from pydantic_core import PydanticCustomError

from search.registry import nearest
from search.text import visible

SPLITS = ("test", "validation", "train")


def show(value: object) -> str:
    """`value` as it would stand in a space file, on one line: text in quotes, true, null."""
    try:
        return visible(json.dumps(value, ensure_ascii=False, default=str))
    except ValueError:  # Python writes no whole number of more than 4,300 digits
        return "a number of thousands of digits"


def shown(values: Sequence[object]) -> str:
    """Several values, as `show` gives them, with commas between."""
    return ", ".join(show(v) for v in values)


def same(a: object, b: object) -> bool:
    """Whether two values mean the same: 1 and 1.0 do, 1 and true do not."""
    return isinstance(a, bool) == isinstance(b, bool) and a == b


def is_in(value: object, values: Sequence[object]) -> bool:
    """Whether `values` hold one that is the `same` as `value`."""
    return any(same(value, v) for v in values)


def number_problem(value: object) -> str | None:
    """Why `value` is not a finite number; None if it is one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        quoted = isinstance(value, str) and value.strip().lstrip("+-")[:1].isdigit()
        return f"must be a number, not {show(value)}" + (
            "; write it without quotes" if quoted else ""
        )
    # Beyond 2**1023 an int has no float; ranges of such numbers have no use.
    if abs(value) >= 2**1023 or not math.isfinite(value):
        return f"must be a finite number, not {show(value)}"
    return None


def whole_problem(value: object) -> str | None:
    """Why `value` is not a whole number (an int, not a bool); None if it is one."""
    if isinstance(value, int) and not isinstance(value, bool):
        return number_problem(value)
    return f"must be a whole number without a point, not {show(value)}"


def value_problem(value: object) -> str | None:
    """Why `value` can't be a choice or a constant; None if it can."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return number_problem(value)
    if value is None or isinstance(value, str | bool):
        return None
    return f"must be text, a number, true, false or null, not {show(value)}"


def _text_problem(value: object) -> str | None:
    if isinstance(value, str):
        return None if value.strip() else "must not be empty; write a text"
    return f"must be text, not {show(value)}; put it in quotes"


def _flag_problem(value: object) -> str | None:
    return None if isinstance(value, bool) else f"must be true or false, not {show(value)}"


def _fraction_problem(value: object) -> str | None:
    if problem := number_problem(value):
        return problem
    in_range = isinstance(value, int | float) and 0 <= value <= 1
    return (
        None
        if in_range
        else f"must be a fraction from 0 to 1, not {show(value)}; write 86 % as 0.86"
    )


def _split_problem(value: object) -> str | None:
    if value in SPLITS:
        return None
    return f"must be one of {', '.join(SPLITS)}, not {show(value)}; {nearest(str(value), SPLITS)}"


def when_problem(when: object) -> str | None:
    """Why `when` is not `{parameter: value or list of values}`; None if it is."""
    if not isinstance(when, Mapping) or not when:
        return f"must be {{parameter: value or list of values}}, not {show(when)}"
    for parent, values in values_by_parent(when).items():
        if not values:
            return f"must name at least one value of {parent}, not []"
        if problem := next(filter(None, map(value_problem, values)), None):
            return f"the value of {parent} {problem}"
    return None


def values_by_parent(when: Mapping[Any, Any]) -> dict[str, tuple[Any, ...]]:
    """`{parameter: value or list of values}` with every entry made a tuple."""
    return {str(k): tuple(v) if isinstance(v, list | tuple) else (v,) for k, v in when.items()}


def _error(text: str) -> PydanticCustomError:
    return PydanticCustomError("space", "{text}", {"text": text})


def _checked(
    problem_of: Callable[[object], str | None],
    convert: Callable[[Any], Any] = lambda v: v,
    *,
    optional: bool = False,
) -> PlainValidator:
    def check(value: object) -> Any:
        if optional and value is None:
            return None
        if problem := problem_of(value):
            raise _error(problem)
        return convert(value)

    return PlainValidator(check)


# Field types whose every complaint is a sentence of ours, since pydantic's are not meant for users.
Value: TypeAlias = str | int | float | bool | None
AnyValue = Annotated[Value, _checked(value_problem)]
Number = Annotated[float, _checked(number_problem, float)]
OptionalNumber = Annotated[float | None, _checked(number_problem, float, optional=True)]
Whole = Annotated[int, _checked(whole_problem)]
OptionalWhole = Annotated[int | None, _checked(whole_problem, optional=True)]
Text = Annotated[str, _checked(_text_problem)]
OptionalText = Annotated[str | None, _checked(_text_problem, optional=True)]
Flag = Annotated[bool, _checked(_flag_problem)]
Fraction = Annotated[float, _checked(_fraction_problem, float)]
Split = Annotated[str, _checked(_split_problem)]
When = Annotated[
    dict[str, tuple[Value, ...]] | None, _checked(when_problem, values_by_parent, optional=True)
]
