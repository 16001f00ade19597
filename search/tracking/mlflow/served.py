"""A network as MLflow serves it.

`python -m search.tracking.mlflow.served MODEL FACTS` loads it in a fresh process, away from its
builder's folder, and compares what it says with what it said as it was trained.

One that Keras can load from its file is MLflow's own kind for Keras. Any other is built again:
MLflow then carries its weights and the modules of its builder, and needs Gridless where it is
served.
"""

import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.training.kept_network import FACTS, read_kept
from search.user_code import top_files

_BUILDER = "builder"
"""A file with the builder's name, beside the weights."""


class UnservableError(Exception):
    """MLflow's copy of a network does not work by itself."""


class Flavor:
    """What MLflow's `Model.log` writes a network by; it sees the copy work."""

    def __init__(self, folder: Path, builder: str, *, alone: bool) -> None:
        """`folder` has the network's files; `builder` is the name of its builder, not needed if it
        stands `alone`.
        """
        self.__name__ = "mlflow.keras" if alone else "mlflow.pyfunc"
        self._folder, self._builder, self._alone = folder, builder, alone

    def save_model(self, path: str, model: Any, **details: Any) -> None:
        """Write an MLflow model into the new folder `path`. Raises UnservableError when it does not
        work.
        """
        import mlflow  # noqa: PLC0415 (takes seconds)

        # MLflow wants to write the example into a folder that it makes only afterwards.
        os.mkdir(path)
        if self._alone:
            # It refuses a signature without inputs, and lets one stand that is there already.
            details["mlflow_model"].signature = details.pop("signature")
            mlflow.keras.save_model(path=path, model=model, **details)
        else:
            self._save_parts(path, **details)
        _see(path, self._folder / f"model{FACTS}")

    def _save_parts(self, path: str, **details: Any) -> None:
        import mlflow  # noqa: PLC0415 (takes seconds)

        (self._folder / _BUILDER).write_text(self._builder)
        details["pip_requirements"] = [
            *details["pip_requirements"],
            f"gridless=={version('gridless')}",
        ]
        os.rmdir(path)
        mlflow.pyfunc.save_model(
            path,
            loader_module="search.tracking.mlflow.served",
            data_path=str(self._folder),
            code_paths=top_files(self._builder),
            **details,
        )


def _see(path: str, facts: Path) -> None:
    if not facts.is_file():
        return  # of an earlier version: nothing to compare with
    variables = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {
        "CUDA_VISIBLE_DEVICES": "-1"
    }
    with TemporaryDirectory(prefix="gridless-") as elsewhere:
        copy = shutil.copyfile(facts, Path(elsewhere, facts.name))
        program = [sys.executable, "-m", "search.tracking.mlflow.served", path, str(copy)]
        done = subprocess.run(  # noqa: S603
            program, cwd=elsewhere, env=variables, capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise UnservableError((done.stderr.strip().splitlines() or ["it ended without a word"])[-1])


class _Served:
    """What MLflow asks."""

    def __init__(self, network: Any) -> None:
        self._network = network

    def predict(self, pixels: Any) -> NDArray[np.float32]:
        """Class probabilities (n, n_classes) of pixels 0–255 of any number type (n, height, width,
        channels).
        """
        return np.asarray(self._network.predict(np.asarray(pixels), verbose=0), np.float32)


def _load_pyfunc(path: str) -> _Served:
    """MLflow's way to load it: the network is built again by its builder, whose modules came
    along.
    """
    from search.training.inference import rebuild  # noqa: PLC0415 (loads Keras)

    return _Served(rebuild(Path(path), Path(path, _BUILDER).read_text()))


def main() -> int:
    """Load the MLflow model at the first argument; 1 unless it repeats what is kept in the file at
    the second.
    """
    import mlflow  # noqa: PLC0415 (takes seconds)

    kept = read_kept(Path(sys.argv[2]).read_bytes())
    answers = mlflow.pyfunc.load_model(sys.argv[1]).predict(kept.pixels)
    if kept.is_repeated_by(np.asarray(answers)):
        return 0
    sys.stderr.write("MLflow's copy does not repeat what the network said as it was trained\n")
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
