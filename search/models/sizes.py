"""How many parameters our models have at their documents' settings, known without building them."""

import hashlib
import json
from functools import cache
from importlib.resources import files

from search.space.space import Space


def size_of(space: Space, input_shape: tuple[int, ...], n_classes: int) -> int | None:
    """The parameters of the network of a shipped `space`'s document; None of any other."""
    size: int | None = _sizes().get(size_key(space, input_shape, n_classes))
    return size


def size_key(space: Space, input_shape: tuple[int, ...], n_classes: int) -> str:
    """What tells that network from others: its model, setting, input and classes."""
    facts = [space.model, dict(space.document), input_shape, n_classes]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return f"{space.model} {digest[:16]}"


@cache
def _sizes() -> dict[str, int]:
    sizes: dict[str, int] = json.loads((files("search.models") / "sizes.json").read_bytes())
    return sizes
