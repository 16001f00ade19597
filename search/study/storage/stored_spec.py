"""What a stored spec must be to be read: types only, so that other versions' pass."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, NonNegativeInt, model_validator

from search.records import Whole


class _Stored(BaseModel):
    model_config = ConfigDict(extra="allow")


class _Published(_Stored):
    value: float
    split: str
    source: str


class _Param(_Stored):
    type: Literal["float", "int", "choice", "constant"] = "constant"
    low: float | None = None
    high: float | None = None
    step: float | None = None
    log: bool = False
    choices: list[str | bool | int | float | None] | None = None
    when: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _has_values(self) -> "_Param":
        if (self.type == "choice" and not self.choices) or (
            self.type in {"float", "int"} and None in {self.low, self.high}
        ):
            raise ValueError(f"a parameter of type {self.type} must say its values")
        return self


class _Space(_Stored):
    data: str | None = None
    document: dict[str, Any] = {}
    published: _Published | None = None
    params: dict[str, _Param] = {}


class _Spec(_Stored):
    model: str
    data: str
    space: _Space
    n_trials: Whole = 0
    epochs: Whole = 0
    seed: Whole = 0
    timeout_s: float | None = None
    budget: float | None = None
    validation_fraction: float = 0.0
    data_digest: str = ""
    first: list[dict[str, Any]] = []
    finalists: NonNegativeInt | None = 0
    n_replicates: NonNegativeInt = 0
    replicates: list[dict[str, Any]] = []


def checked_spec(spec: Any) -> dict[str, Any]:
    """`spec` as it is. Raises ValidationError, a ValueError, where a type is wrong."""
    _Spec.model_validate(spec)
    return dict(spec)
