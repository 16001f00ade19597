"""A surrogate of two parameters whose curves anybody can work out."""

from collections.abc import Mapping
from typing import Any

from search.lab.simulation.surrogate import Curve
from search.records import Epoch
from search.space.space import Space
from search.strategies import Strategy

SPACE = Space.from_dict(
    {
        "model": "toy",
        "document": {"x": 0.5, "width": 8},
        "params": {
            "x": {"type": "float", "low": 0.0, "high": 1.0},
            "width": {"type": "int", "low": 1, "high": 64, "log": True},
        },
    }
)


class Toy:
    """Accuracy rises to 1 - |x - peak|; an epoch takes about as many seconds as the network is
    wide.
    """

    tasks = ("hill", "slope")
    space = SPACE
    max_epochs = 9
    n_settings = None
    first = ()

    def curve(self, task: str, params: Mapping[str, Any]) -> Curve:
        peak = {"hill": 0.5, "slope": 1.0}[task]
        top = 1 - abs(params["x"] - peak)
        seconds = params["width"] + params["x"]
        return tuple(
            Epoch(
                s,
                {
                    "loss": 1.0,
                    "accuracy": (v := top * s / self.max_epochs),
                    "val_loss": 1.0,
                    "val_accuracy": v,
                    "lr": 0.1,
                },
                seconds,
                0.0,
            )
            for s in range(1, self.max_epochs + 1)
        )

    def adapted(self, strategy: Strategy) -> Strategy:
        return strategy

    def best(self, task: str, n_samples: int) -> float | None:
        return 1.0 if n_samples else None
