"""A search space: what can vary, and the setting of the document that it comes from."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from search.errors import InputError
from search.registry import nearest
from search.space import setting as settings
from search.space import training_params as known
from search.space.difference import canonical, difference
from search.space.params import (
    ChoiceParam,
    ConstantParam,
    FloatParam,
    Head,
    IntParam,
    Param,
    Published,
    as_written,
    ends,
    problem_of,
)
from search.space.problems import lint, place
from search.space.training_params import TRAINING
from search.space.values import AnyValue, Value, is_in, shown

__all__ = ["ChoiceParam", "ConstantParam", "FloatParam", "IntParam", "Param", "Published", "Space"]


def _check(raw: Mapping[str, Any]) -> None:
    if problems := lint(raw):
        raise InputError([f"{place(p.where) or 'space'}: {p.text}" for p in problems])


def _pin_problem(name: str, param: Param, value: Any) -> str | None:
    if name in TRAINING:
        return next((text for _, text in known.problems_of(name, value)), None)
    return problem_of(param, value)


class Space(Head):
    """What can vary for one model. Immutable, and valid: building one of bad parts raises
    InputError.

    `document` is the baseline, the setting of the source document where there is one, and trial 0
    of every study: a complete valid setting, by default in the middle of the ranges.
    """

    published: Published | None = None
    # Before `document`, whose values are brought to their parameters' types.
    params: dict[str, Annotated[Param, Field(discriminator="type")]]
    document: dict[str, AnyValue] = Field(
        default_factory=lambda data: settings.middle(data.get("params", {}))
    )

    @field_validator("document")
    @classmethod
    def _choices_of_params(
        cls, document: dict[str, Value], info: ValidationInfo
    ) -> dict[str, Value]:
        params: Mapping[str, Param] = info.data.get("params", {})
        fits = {n for n, v in document.items() if n in params and problem_of(params[n], v) is None}
        return {n: as_written(params[n], v) if n in fits else v for n, v in document.items()}

    @model_validator(mode="after")
    def _sound(self) -> Self:
        _check(self.as_dict())
        return self

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """Read the plain data that `as_dict` gives. Raises InputError with every mistake."""
        _check(raw)
        return cls.model_validate(dict(raw))

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON and YAML: a space file's keys without those at their defaults."""
        params = {
            n: {"type": p.type, **p.model_dump(exclude_defaults=True)}
            for n, p in self.params.items()
        }
        head = self.model_dump(exclude={"params", "document"}, exclude_none=True)
        # By way of JSON, which makes lists of tuples.
        plain: dict[str, Any] = json.loads(
            json.dumps({**head, "document": self.document, "params": params})
        )
        return plain

    @property
    def order(self) -> list[str]:
        """Names in the file's order, except that parents come before what depends on them."""
        return settings.order(self.params)

    def active(self, params: Mapping[str, Any]) -> list[str]:
        """Names that the values in `params` make active, parents first; a missing parent makes
        none.
        """
        return settings.active(self.params, params)

    def setting(self, value_of: Callable[[str], Any]) -> dict[str, Any]:
        """`value_of(name)` for each parameter that earlier values make active, parents first."""
        made: dict[str, Any] = {}
        for name in self.order:
            if name in self.active(made):
                made[name] = value_of(name)
        return made

    def problems_of(self, params: Mapping[str, Any]) -> list[str]:
        """What keeps `params` from being a complete valid setting, a sentence each."""
        return [f"{name}: {text}" for name, text in settings.problems(self.params, params)]

    def complete(self, partial: Mapping[str, Any]) -> dict[str, Value]:
        """Make a complete setting of `partial`'s values, else the document's, else the lowest or
        first.

        Parameters that these values leave inactive are left out. Raises InputError with every bad
        name and value, also for a value given to a parameter that stays inactive.
        """
        setting, problems = settings.complete(self.params, self.document, partial)
        if problems:
            raise InputError(problems)
        return setting

    def fix(self, values: Mapping[str, Any]) -> Self:
        """Pin each named parameter to a value; parameters that can't become active any more are
        dropped.

        A training parameter may be pinned to any value that training can take: the file says what
        is searched, not what can be trained. Raises InputError with every unknown name, bad value,
        and name that another pin puts out of use.
        """
        problems = []
        for name, value in values.items():
            if name not in self.params:
                problems.append(f"{name}: is not a parameter; {nearest(name, self.params)}")
            elif problem := _pin_problem(name, self.params[name], value):
                problems.append(f"{name}: {problem}")
        if problems:
            raise InputError(problems)
        pinned = {
            n: ConstantParam(value=as_written(self.params[n], v), when=self.params[n].when)
            for n, v in values.items()
        }
        result = self._with({**self.params, **pinned}, values)
        if lost := [n for n in values if n not in result.params]:
            raise InputError(
                [
                    f"{n}: is used only when {settings.condition(self.params[n])}; leave it out"
                    for n in lost
                ]
            )
        return result

    def without(self, name: str, values: Sequence[Any]) -> Self:
        """Drop `values` from the choices of `name` and repair the document's setting.

        Raises InputError when `name` has no choices, a value is not among them, or none is left.
        """
        param = self.params.get(name)
        if not isinstance(param, ChoiceParam | ConstantParam):
            with_choices = [n for n, p in self.params.items() if isinstance(p, ChoiceParam)]
            raise InputError(f"{name}: has no choices to drop; {nearest(name, with_choices)}")
        if unknown := [v for v in values if not is_in(v, ends(param))]:
            raise InputError(
                f"{name}: {shown(unknown)} can't be dropped; the choices are {shown(ends(param))}"
            )
        left = tuple(v for v in ends(param) if not is_in(v, values))
        if not left:
            raise InputError(f"{name}: no choice is left without {shown(values)}; keep one of them")
        kept = (
            ChoiceParam(choices=left, when=param.when) if isinstance(param, ChoiceParam) else param
        )
        return self._with({**self.params, name: kept}, {})

    def _with(self, params: Mapping[str, Param], values: Mapping[str, Any]) -> Self:
        reachable = settings.reachable(params)
        document = settings.fill(reachable, self.document, values)
        return type(self)(
            model=self.model,
            data=self.data,
            source=self.source,
            published=self.published,
            params=reachable,
            document=document,
        )

    @property
    def max_epochs(self) -> int | None:
        """The largest value of the parameter `epochs`; None where there is no such parameter."""
        param = self.params.get("epochs")
        return max((v for v in ends(param) if isinstance(v, int)), default=None) if param else None

    @property
    def n_combinations(self) -> int:
        """The size of a full grid: 10 points for a float without a step, active parameters only."""
        return settings.n_combinations(self.params)

    def corners(self) -> list[dict[str, Value]]:
        """List settings at the space's ends, all different: the document's, then each parameter at
        each extreme or choice with the rest as the document has it, then all lowest and all
        highest.
        """
        return settings.corners(self.params, self.document)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of parameters and document, alike for any order of keys, for 1 and 1.0."""
        text = json.dumps(
            canonical(self._content()), sort_keys=True, separators=(",", ":"), ensure_ascii=False
        )
        return hashlib.sha256(text.encode()).hexdigest()

    def difference(self, other: "Space") -> list[str]:
        """What changed from this space to `other`, a line each; empty for equal digests."""
        return difference(self._content(), other._content())

    def _content(self) -> dict[str, Any]:
        raw = self.as_dict()
        return {"params": raw["params"], "document": raw["document"]}
