"""Read a study's settings from studies/*.yaml and flags, with every problem in one list."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from search.errors import InputError
from search.registry import data_folders, nearest
from search.space.yaml_file import read_yaml
from search.study.settings import FLAGS, Settings, option_of

_RULE = {
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_type": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_parsing": "must be true or false",
}
_BOUND = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


def read_settings(path: Path) -> dict[str, Any]:
    """The keys of a studies/*.yaml file. Raises InputError if it is no YAML mapping."""
    file = read_yaml(path, may_be_empty=True)
    if file.problems:
        raise InputError([f"{path}:{line}: {problem}" for line, problem in file.problems])
    return file.data


def settings_for(stem: str, flags: Mapping[str, Any]) -> tuple[Settings | None, list[str]]:
    """Settings from studies/default.yaml, then studies/<stem>.yaml, then `flags`, and every problem
    found.

    The settings are None exactly when there are problems.
    """
    problems: list[str] = []
    merged: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for file in (_settings_file("default"), _settings_file(stem)):
        try:
            content = read_settings(file) if file else {}
        except InputError as error:
            problems += error.problems
            continue
        merged |= content
        origin |= {key: str(file) for key in content}
    given = {k: v for k, v in flags.items() if v is not None}
    merged |= given
    origin |= {key: _name_of(key) for key in given}
    try:
        settings = Settings(**merged)
    except ValidationError as error:
        problems += [_explain(e, origin) for e in error.errors()]
    return (None, problems) if problems else (settings, [])


def _name_of(key: str) -> str:
    """What messages call the setting `key` of a command."""
    make = FLAGS[key].make if key in FLAGS else None
    return make or option_of(key)


def _settings_file(stem: str) -> Path | None:
    return next((p for f in data_folders("studies") if (p := f / f"{stem}.yaml").is_file()), None)


def _explain(error: Any, origin: Mapping[str, str]) -> str:
    key = str(error["loc"][0])
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return f"{origin[key]}: {key!r} is not a setting; {nearest(key, Settings.model_fields)}"
    if kind == "value_error":
        rule = str(context["error"])
    else:
        bounds = [
            f"must be {words} {context[end]}" for end, words in _BOUND.items() if end in context
        ]
        rule = bounds[0] if bounds else _RULE.get(kind, error["msg"])
    value = error["input"]
    shown = ", ".join(map(str, value)) if isinstance(value, tuple) else repr(value)
    return f"{origin[key]}: {key} = {shown} {'is wrong: ' if kind == 'value_error' else ''}{rule}"
