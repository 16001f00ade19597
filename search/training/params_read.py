"""Params as builders get them: they say what is missing, and may tell which of them were read."""

from collections.abc import Iterator, Mapping
from typing import Any

from search.errors import InputError
from search.registry import nearest


class MissingParamError(InputError, KeyError):
    """A builder reads a parameter that its setting lacks; a KeyError to one that expects that."""

    def __str__(self) -> str:
        return self.problems[0]


class Params(dict[str, Any]):
    """The values of a setting."""

    def __missing__(self, key: str) -> Any:
        """Raise MissingParamError."""
        rule = f"the builder reads params[{key!r}], which is not in this setting"
        raise MissingParamError(f"{rule}; {nearest(str(key), dict.keys(self))}")


class Recorder(Params):
    """Params that remember which of them were asked for."""

    def __init__(self, values: Mapping[str, Any], names: set[str]) -> None:
        """`names` takes up the names."""
        super().__init__(values)
        self._names = names

    def __getitem__(self, key: str) -> Any:
        self._names.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """As of any mapping."""
        self._names.add(key)
        return super().get(key, default)

    def __contains__(self, key: object) -> bool:
        self._names.add(str(key))
        return super().__contains__(key)

    def keys(self) -> Any:
        """All names are asked for."""
        self._names.update(self)
        return super().keys()

    def items(self) -> Any:
        """All names are asked for."""
        self._names.update(self)
        return super().items()

    def __iter__(self) -> Iterator[str]:
        self._names.update(self)
        return super().__iter__()
