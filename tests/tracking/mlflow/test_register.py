"""The champion's network in MLflow. It is registered in a process of its own, as it loads Keras."""

import json
import subprocess
import sys
from contextlib import contextmanager
from hashlib import sha256
from types import SimpleNamespace

import pytest

from search.errors import InputError
from search.paths import home
from search.tracking.mlflow.register import main, register
from tests.study.helpers import begin
from tests.tracking.helpers import ME, mirrored

AS_TENSORFLOW_CPU = """
from importlib.metadata import Distribution, PackageNotFoundError

find = Distribution.from_name

def without_tensorflow(name):
    if name == "tensorflow":
        raise PackageNotFoundError(name)
    return find(name)

Distribution.from_name = without_tensorflow
"""
"""The images install TensorFlow by this package, which no other knows under its usual name."""
SCENARIO = """
import json, os, shutil, sys
import keras, mlflow, numpy as np
from search.paths import home
from search.tracking.mlflow.register import register

uri, folder = os.environ["MLFLOW_TRACKING_URI"], home() / "mlp-digits"
pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 1)).astype("float32")

def use(seed):
    file = folder / f"{seed}.keras"
    if not file.exists():
        keras.utils.set_random_seed(seed)
        keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(3, "softmax")]).save(file)
    shutil.copy(file, folder / "model.keras")
    version = register("mlp-digits", os.environ["STUDY_ID"], uri)
    served = mlflow.pyfunc.load_model("models:/mlp-digits@champion")
    own = keras.saving.load_model(file).predict(pixels, verbose=0)
    kinds = ("float32", "uint8", "int64", "float64")
    same = all(np.allclose(served.predict(pixels.astype(kind)), own, atol=1e-6) for kind in kinds)
    needs = open(mlflow.pyfunc.get_model_dependencies("models:/mlp-digits@champion")).read().split()
    example = served.metadata.saved_input_example_info
    return [version, same, served.metadata.signature.to_dict(), example is not None, needs]

print(json.dumps([use(seed) for seed in (1, 1, 2, 1)]), file=sys.stderr)
"""


@pytest.fixture
def tracked(ledger, storage, uri, monkeypatch):
    """A study that MLflow has, whose network's file is to come."""
    begin(ledger, ME, [0.1])
    assert mirrored(storage).error is None
    monkeypatch.setenv("STUDY_ID", ledger.uid)
    (home() / "mlp-digits").mkdir(parents=True)


def test_the_champion_is_registered_once_and_answers_as_keras_does(tracked):
    program = [sys.executable, "-c", AS_TENSORFLOW_CPU + SCENARIO]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    rows = json.loads(done.stderr.splitlines()[-1])
    assert [row[0] for row in rows] == ["1", "1", "2", "1"]
    assert all(row[1] and row[3] for row in rows)
    assert {need.split("==")[0] for need in rows[0][4]} == {
        "keras",
        "mlflow",
        "numpy",
        "tensorflow",
    }
    assert rows[0][2]["inputs"] is None
    (outputs,) = json.loads(rows[0][2]["outputs"])
    assert outputs["tensor-spec"] == {"dtype": "float32", "shape": [-1, 3]}


@pytest.mark.parametrize("moment", ["the lock", "the digest"])
def test_the_file_that_is_digested_is_the_one_that_is_loaded_whenever_a_report_replaces_it(
    monkeypatch, moment
):
    file = home() / "mlp-digits" / "model.keras"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"old")
    seen = {}

    def report():
        (file.parent / "new").write_bytes(b"new")
        (file.parent / "new").replace(file)

    @contextmanager
    def lock(*_arguments, **_more):
        if moment == "the lock":
            report()
        yield

    def version(_client, _study, digest):
        seen["digest"] = digest
        report()

    def open_network(folder, _model):
        seen["loaded"] = (folder / "model.keras").read_bytes()
        raise InputError("that is enough")

    monkeypatch.setattr("search.tracking.mlflow.register.locked", lock)
    monkeypatch.setattr("search.tracking.mlflow.register._version", version)
    monkeypatch.setattr("search.tracking.mlflow.register._run", lambda *_: "run")
    monkeypatch.setattr("search.tracking.mlflow.register.open_client", lambda _uri: None)
    monkeypatch.setitem(
        sys.modules, "search.training.inference", SimpleNamespace(open_network=open_network)
    )
    with pytest.raises(InputError, match="enough"):
        register("mlp-digits", "one", "sqlite:///nowhere.db")
    assert seen["loaded"] == (b"new" if moment == "the lock" else b"old")
    assert seen["digest"] == sha256(seen["loaded"]).hexdigest()


def test_without_a_network_or_a_run_it_says_why(uri, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setattr(sys, "argv", ["champion", "mlp-digits", "one"])
    for reason in ("no studies", "gridless sync"):
        assert main() == 0
        result = json.loads(capsys.readouterr().out)
        assert (result["version"], reason in result["error"]) == (None, True)
        (home() / "mlp-digits").mkdir(parents=True, exist_ok=True)
        (home() / "mlp-digits" / "model.keras").write_bytes(b"never read")


REBUILT = """
import json, os, sys
import keras, mlflow, numpy as np
from search.paths import home
from search.training.export import save_network
from search.training.kept_network import Facts, Kept
from search.training.network import build_whole
from search.training.scaling import Scaling
from search.tracking.mlflow.register import register

uri, folder = os.environ["MLFLOW_TRACKING_URI"], home() / "mlp-digits"
pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 1)).astype("uint8")
network, _ = build_whole("served_nets:build", {}, (4, 4, 1), 3)
said = np.asarray(network(pixels / np.float32(255)))
facts = Facts({}, (4, 4, 1), 3, "probabilities", "float32")
save_network(network, Scaling(), Kept(facts, pixels, said), str(folder / "model.keras"))
(folder / "study.yaml").write_text("model: served_nets:build")
(folder / ".model.json").write_text('{"digest": "", "how": "weights"}')
version = register("mlp-digits", os.environ["STUDY_ID"], uri)
served = mlflow.pyfunc.load_model("models:/mlp-digits@champion")
same = all(np.allclose(served.predict(pixels.astype(k)), said, atol=1e-5) for k in ("uint8", "int64", "float64"))
print(json.dumps([version, same]), file=sys.stderr)
"""
NETS = """
import keras
from served_parts import Own

def build(params, *, input_shape, n_classes):
    layers = [keras.layers.Flatten(), Own(), keras.layers.Dense(n_classes, "softmax")]
    return keras.Sequential([keras.Input(input_shape), *layers])
"""
PARTS = """
import keras

class Own(keras.layers.Layer):
    def call(self, x):
        return 2 * x
"""


def test_a_network_that_keras_can_not_restore_is_served_with_the_modules_of_its_builder(
    tracked, tmp_path
):
    (tmp_path / "code").mkdir()
    for name, text in (("served_nets", NETS), ("served_parts", PARTS)):
        (tmp_path / "code" / f"{name}.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-c", REBUILT],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path / "code",
    )
    assert json.loads(done.stderr.splitlines()[-1]) == ["1", True], done.stderr[-2000:]
