"""Full grids are walked, not built."""

import tracemalloc

from search.space.space import Space
from search.strategies.grid import GridSettings, points


def test_a_grid_of_millions_is_never_in_memory() -> None:
    params = {
        "units": {"type": "int", "low": 1, "high": 10_000_000},
        "seeds": {"type": "int", "low": 0, "high": 30_000_000, "step": 3},
        "rate": {"type": "float", "low": 0, "high": 1, "step": 1e-7},
    }
    document = {"units": 7, "seeds": 9, "rate": 0.5}
    space = Space.from_dict({"model": "mlp", "params": params, "document": document})
    tracemalloc.start()
    grid = GridSettings(space, seed=0, max_epochs=5)
    settings = [grid.ask([], number) for number in range(4)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert settings[:3] == [
        document,
        *({"units": 1, "seeds": 0, "rate": rate} for rate in (0.0, 1e-7)),
    ]
    assert peak < 1_000_000
    last = points(space.params["rate"])
    assert (len(last), last[-1]) == (10_000_001, 1.0)
