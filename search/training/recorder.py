"""Params that tell which of them a builder reads."""

from collections.abc import Iterator, Mapping
from typing import Any


class Recorder(dict[str, Any]):
    """Params that remember which of them were asked for."""

    def __init__(self, values: Mapping[str, Any], asked: set[str]) -> None:
        """`asked` takes up the names."""
        super().__init__(values)
        self._asked = asked

    def __getitem__(self, key: str) -> Any:
        self._asked.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """As of any mapping."""
        self._asked.add(key)
        return super().get(key, default)

    def __contains__(self, key: object) -> bool:
        self._asked.add(str(key))
        return super().__contains__(key)

    def keys(self) -> Any:
        """All names are asked for."""
        self._asked.update(self)
        return super().keys()

    def items(self) -> Any:
        """All names are asked for."""
        self._asked.update(self)
        return super().items()

    def __iter__(self) -> Iterator[str]:
        self._asked.update(self)
        return super().__iter__()
