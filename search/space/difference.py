"""What changed between two spaces, and the one form that all equal spaces share."""

from collections.abc import Mapping
from typing import Any

from search.space.values import show


def canonical(data: Any) -> Any:
    """Plain data with every whole float made an int, so that 1 and 1.0 are written alike."""
    if isinstance(data, Mapping):
        return {key: canonical(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [canonical(value) for value in data]
    return int(data) if isinstance(data, float) and data.is_integer() else data


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Lines such as `lr.high: 0.1 → 1.0`, from the parts "params" and "document" of two spaces."""
    lines = []
    for name in {**old["params"], **new["params"]}:
        before, after = old["params"].get(name), new["params"].get(name)
        if before is None or after is None:
            lines.append(f"{name}: {'removed' if after is None else 'added'}")
        elif before["type"] != after["type"]:
            lines.append(f"{name}: {_described(before)} → {_described(after)}")
        else:
            lines += _changed(before, after, f"{name}.")
    return lines + _changed(old["document"], new["document"], "document.")


def _changed(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str) -> list[str]:
    return [
        f"{prefix}{key}: {_shown(old, key)} → {_shown(new, key)}"
        for key in {**old, **new}
        if _alike(old, key) != _alike(new, key)
    ]


def _alike(data: Mapping[str, Any], key: str) -> str:
    return show(canonical(data[key])) if key in data else ""


def _shown(data: Mapping[str, Any], key: str) -> str:
    return show(data[key]) if key in data else "none"


def _described(param: Mapping[str, Any]) -> str:
    return ", ".join(str(v) if k == "type" else f"{k} {show(v)}" for k, v in param.items())
