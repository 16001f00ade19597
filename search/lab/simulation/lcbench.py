"""The surrogate of LCBench that YAHPO Gym trained: learning curves of small networks on tasks of
OpenML.

Zimmer, Lindauer and Hutter, "Auto-PyTorch Tabular" (2021); Pfisterer et al., "YAHPO Gym" (2022). A
folder holds model.onnx, config_space.json and encoding.json as they publish them.
"""

import importlib
import json
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

from search.errors import InputError
from search.lab.simulation.surrogate import Curve
from search.records import Epoch
from search.space.params import FloatParam, IntParam
from search.space.space import Space
from search.strategies import Strategy

FILES = ("model.onnx", "config_space.json", "encoding.json")
_TASK, _EPOCH = "OpenML_task_id", "epoch"
_INPUTS = (
    _EPOCH,
    "batch_size",
    "learning_rate",
    "momentum",
    "weight_decay",
    "num_layers",
    "max_units",
    "max_dropout",
)
"""The columns of the network's input, which no file names."""
_KINDS = {"uniform_int": "int", "uniform_float": "float"}
_UNKNOWN = "#na#"
_CHUNK = 1000
_CURVES_KEPT = 5000
_SCREENED_AT = (0.25, 0.5, 0.75, 1.0)
"""Parts of a training at which settings are compared before the best have curves drawn."""


class LCBench:
    """The surrogate in folder `folder`. Raises InputError with everything that is wrong there."""

    n_settings = None
    first = ()

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if missing := [name for name in FILES if not (folder / name).is_file()]:
            raise InputError(
                f"--surrogate: {folder} lacks {', '.join(missing)}; give the folder that holds them"
            )
        raw = _parameters(folder)
        self._codes = {
            name: int(code) for name, code in _read(folder / "encoding.json")[_TASK].items()
        }
        self.tasks = tuple(
            name for name in raw[_TASK]["choices"] if name in self._codes and name != _UNKNOWN
        )
        self.max_epochs = int(raw[_EPOCH]["upper"])
        self.space = _space(raw)
        self._curves: dict[tuple[str, tuple[float, ...]], Curve] = {}
        load_runtime()

    def __reduce__(self) -> tuple[type["LCBench"], tuple[Path]]:
        return LCBench, (self.folder,)

    def curve(self, task: str, params: Mapping[str, Any]) -> Curve:
        """The whole curve of `params`, times never falling and accuracies within 0…1."""
        key = task, tuple(float(params[name]) for name in _INPUTS[1:])
        if key not in self._curves:
            if len(self._curves) >= _CURVES_KEPT:
                self._curves.clear()
            outputs = self._predict(task, [key[1]], range(1, self.max_epochs + 1))[0]
            self._curves[key] = _curve(outputs, lr=float(params["learning_rate"]))
        return self._curves[key]

    def adapted(self, strategy: Strategy) -> Strategy:
        """`strategy` itself: every setting has a curve."""
        return strategy

    def best(self, task: str, n_samples: int) -> float | None:
        """The best accuracy on the curves of `n_samples` settings, spread evenly (Sobol's sequence,
        always the same).

        To spare time only the hundredth that is best at a few epochs is looked at epoch by epoch.
        """
        if not n_samples:
            return None
        settings = self._spread(n_samples)
        steps = sorted({max(1, round(part * self.max_epochs)) for part in _SCREENED_AT})
        accuracies = self._predict(task, settings, steps)[:, :, 1].max(axis=1)
        leading = np.argsort(-accuracies, kind="stable")[: max(1, math.ceil(n_samples / 100))]
        outputs = self._predict(task, [settings[i] for i in leading], range(1, self.max_epochs + 1))
        return float(np.clip(outputs[:, :, 1].max() / 100, 0.0, 1.0))

    def _spread(self, n: int) -> list[tuple[float, ...]]:
        # A power of two at a time, as Sobol's sequence wants it.
        points = qmc.Sobol(len(_INPUTS) - 1, seed=0).random_base2(math.ceil(math.log2(n)))[:n]
        columns = [
            _stretched(self.space.params[name], points[:, i]) for i, name in enumerate(_INPUTS[1:])
        ]
        return [tuple(row) for row in np.column_stack(columns).tolist()]

    def _predict(
        self, task: str, settings: Sequence[tuple[float, ...]], steps: Sequence[int]
    ) -> NDArray[np.float64]:
        """What the network says: (settings, steps, its six figures)."""
        parts = []
        for start in range(0, len(settings), _CHUNK):
            some = np.asarray(settings[start : start + _CHUNK], dtype=np.float32)
            x = np.empty((len(some), len(steps), len(_INPUTS)), dtype=np.float32)
            x[:, :, 0] = np.asarray(steps, dtype=np.float32)
            x[:, :, 1:] = some[:, None, :]
            codes = np.full((len(some) * len(steps), 1), self._codes[task], dtype=np.int32)
            outputs = self._session.run(
                None, {"x_cat": codes, "x_cont": x.reshape(-1, len(_INPUTS))}
            )[0]
            parts.append(np.asarray(outputs, dtype=np.float64).reshape(len(some), len(steps), -1))
        return np.concatenate(parts)

    @cached_property
    def _session(self) -> Any:
        runtime = load_runtime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        path = self.folder / "model.onnx"
        try:
            return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the library's errors have no base class of their own
            raise InputError(
                f"--surrogate: {path} can't be loaded ({error}); fetch the file again"
            ) from error


def load_runtime() -> Any:
    """The package onnxruntime. Raises InputError when it is not installed."""
    try:
        return importlib.import_module("onnxruntime")
    except ImportError as error:
        rule = f"--surrogate: the package onnxruntime is missing ({error})"
        raise InputError(f"{rule}; install it with `pip install 'gridless[bench]'`") from error


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"--surrogate: {path} can't be read ({error}); fetch the file again"
        ) from error


def _parameters(folder: Path) -> dict[str, Any]:
    path = folder / "config_space.json"
    try:
        parameters = {p["name"]: p for p in _read(path)["hyperparameters"]}
        problems = [f"{name} is missing" for name in (_TASK, *_INPUTS) if name not in parameters]
        problems += [
            f"{name} is not LCBench's" for name in parameters if name not in {_TASK, *_INPUTS}
        ]
        problems += [
            f"{name} is no range"
            for name in _INPUTS
            if name in parameters and parameters[name]["type"] not in _KINDS
        ]
    except (TypeError, KeyError) as error:
        raise InputError(
            f"--surrogate: {path} lists no hyperparameters; give LCBench's own file"
        ) from error
    if problems:
        raise InputError(f"--surrogate: {path}: {', '.join(problems)}; give LCBench's own file")
    return parameters


def _space(raw: Mapping[str, Any]) -> Space:
    params = {name: _param(raw[name]) for name in _INPUTS if name != _EPOCH}
    document = {name: raw[name]["default"] for name in params}
    return Space.from_dict({"model": "lcbench", "params": params, "document": document})


def _param(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": _KINDS[raw["type"]],
        "low": raw["lower"],
        "high": raw["upper"],
        "log": bool(raw.get("log")),
    }


def _stretched(param: Any, unit: NDArray[np.float64]) -> NDArray[np.float64]:
    """Numbers in 0…1 as values of a numeric parameter."""
    if not isinstance(param, IntParam | FloatParam):
        raise TypeError(f"{param!r} is not a range")
    low, high = float(param.low), float(param.high)
    values = (
        np.exp(np.log(low) + unit * np.log(high / low)) if param.log else low + unit * (high - low)
    )
    return np.round(values) if isinstance(param, IntParam) else values


def _curve(outputs: NDArray[np.float64], *, lr: float) -> Curve:
    times = np.maximum.accumulate(np.clip(outputs[:, 0], 0.0, None))
    seconds = np.diff(times, prepend=0.0)
    values = np.clip(outputs[:, 1] / 100, 0.0, 1.0)
    return tuple(
        Epoch(
            step,
            {"loss": loss, "accuracy": value, "val_loss": loss, "val_accuracy": value, "lr": lr},
            spent,
            0.0,
        )
        for step, (value, loss, spent) in enumerate(
            zip(values.tolist(), outputs[:, 2].tolist(), seconds.tolist(), strict=True), start=1
        )
    )
