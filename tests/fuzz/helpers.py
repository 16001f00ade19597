"""Files that are nearly right, made from right ones; and what they are read with.

`GRIDLESS_FUZZ=1000 pytest tests/fuzz` tries other and more files than the few of every day, which
are always the same.
"""

import copy
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from search.errors import InputError

N = int(os.environ.get("GRIDLESS_FUZZ", "0"))
fuzz = settings(
    max_examples=N or 20,
    derandomize=not N,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
ROOT = Path(__file__).resolve().parents[2]
ODD = st.sampled_from(
    [
        None,
        True,
        -1,
        0,
        10**30,
        1e308,
        float("nan"),
        "",
        "a",
        "\x1b[2J",
        "\ud800",
        "\u202e",
        "x" * 9000,
        [],
        {},
        [[]],
    ]
)
TREES = st.recursive(
    ODD | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
"""Plain data of any shape."""


def attempt(read: Callable[[], Any]) -> Any:
    """What `read` gives; None where it says what is wrong with the input."""
    with suppress(InputError):
        return read()


def written(content: bytes, name: str) -> Path:
    """A file in a folder of its own."""
    path = Path(tempfile.mkdtemp(dir=os.environ["GRIDLESS_HOME"])) / name
    path.write_bytes(content)
    return path


def dumped(tree: Any) -> bytes:
    """As JSON, which is YAML, too."""
    return json.dumps(tree).encode()


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """`content` with a few bytes changed, taken out, put in or cut off."""
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content)))
        end = at + draw(st.sampled_from([0, 1, 4, 40, len(content)]))
        content = content[:at] + draw(st.binary(max_size=4)) + content[end:]
    return content


@st.composite
def changed(draw: st.DrawFn, tree: Any) -> Any:
    """`tree`, plain data, with one or two of its parts replaced by something odd, or taken out."""
    tree = copy.deepcopy(tree)
    for _ in range(draw(st.integers(1, 2))):
        places = list(_places(tree))
        if not places:
            return draw(TREES)
        holder, key = draw(st.sampled_from(places))
        if draw(st.booleans()):
            del holder[key]
        else:
            holder[key] = draw(TREES)
    return tree


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every part of `tree`, as what holds it and its key there."""
    keys = (
        list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    )
    for key in keys:
        yield tree, key
        yield from _places(tree[key])
