"""What a space's model can't be built with is known before a search."""

import json
import subprocess
from pathlib import Path
from typing import Any, cast

import psutil
import pytest

from search import registry
from search.errors import InputError
from search.space.hyper_choices import FOUND
from search.space.load import find_space, load_space
from search.space.space import Space
from search.training import probe as probe_module
from search.training.catalogue import check_space, dataset_rows, model_rows
from search.training.model_answers import answer_to
from search.training.probe import Question, build_all, probe

FILE = "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"


@pytest.fixture
def wrong_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file under the name that VGG16's weights have, and no other place is looked into."""
    monkeypatch.setenv("GRIDLESS_DATA", str(tmp_path))
    (tmp_path / FILE).write_bytes(b"not a file of weights")
    return FILE


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions are answered in this process: that starting one works is seen where many networks
    are built.
    """

    def answer(question: dict[str, Any]) -> dict[str, Any]:
        return cast(
            dict[str, Any], json.loads(json.dumps(answer_to(json.loads(json.dumps(question)))))
        )

    monkeypatch.setattr(probe_module, "ask", answer)


def test_choices_that_do_not_fit_the_images_are_dropped_with_a_notice(here: None) -> None:
    space = load_space(find_space("convNN"))
    usable, notices = probe(space, input_shape=(8, 8, 1), n_classes=10, corners=False).usable(space)
    assert list(usable.params["variant"].choices) == ["1", "2", "6", "8"]  # type: ignore[union-attr]
    assert [n.split(":")[0] for n in notices] == [
        f'dropped variant = "{v}"' for v in ("3", "3a", "4", "7")
    ]
    assert usable.problems_of(usable.document) == []


def test_a_baseline_that_fails_is_told_before_the_search(
    here: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "choosy.py").write_text(
        "from search.models.mlp import build as mlp\n"
        "def build(params, **facts):\n"
        "    assert params['units'] < 20, 'too wide'\n"
        "    return mlp(params, **facts)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    params = {
        "units": {"type": "int", "low": 16, "high": 64},
        "batch_sise": {"type": "int", "low": 1, "high": 2},
    }
    file = tmp_path / "choosy.yaml"
    baseline = {"units": 40, "batch_sise": 1}
    file.write_text(json.dumps({"model": "choosy:build", "baseline": baseline, "params": params}))
    _, notices = probe(load_space(file), input_shape=(8, 8, 1), n_classes=10, corners=False).usable(
        load_space(file)
    )
    [notice] = [n for n in notices if "baseline" in n]
    assert notice.startswith("trial 0, the baseline, can't be built and will fail: ")
    assert "too wide" in notice
    lines, is_sound = check_space(file, "digits")
    assert not is_sound
    assert any(" of " in line and "corners built" in line for line in lines)
    assert [line.partition("; ")[2] for line in lines if "never read" in line] == [
        "did you mean 'batch_size'?"
    ]


def test_a_model_that_fits_nowhere_is_an_input_error(here: None) -> None:
    space = load_space(find_space("convNN_7"))
    with pytest.raises(InputError, match="28×28"):
        probe(space, input_shape=(8, 8, 1), n_classes=10, corners=False).usable(space)


@pytest.mark.parametrize(("source", "n_dropped"), [(FOUND, 0), ("a file", 1)])
def test_ranges_that_were_read_from_a_builder_are_kept_to_as_in_training(
    here: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, n_dropped: int
) -> None:
    (tmp_path / "narrow.py").write_text(
        "import keras\n\n\ndef build(hp):\n    if hp.Int('size', 1, 8) > 8:\n        raise"
        " ValueError('too large')\n    layers = [keras.Input((8, 8, 1)), keras.layers.Flatten(),"
        " keras.layers.Dense(10, 'softmax')]\n    return keras.Sequential(layers)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    sizes = {"size": {"type": "choice", "choices": [4, 9]}}
    space = Space.from_dict(
        {"model": "narrow:build", "source": source, "params": sizes, "document": {"size": 4}}
    )
    report = probe(space, input_shape=(8, 8, 1), n_classes=10, corners=False)
    assert len(report.unbuildable) == n_dropped
    [answer] = build_all([Question.of(space, {"size": 9}, (8, 8, 1), 10)])
    assert (answer.error is not None) == (n_dropped == 1)


def test_a_parameter_that_nobody_reads_is_told(here: None) -> None:
    content = load_space(find_space("mlp")).as_dict()
    content["params"]["widht"] = {"type": "int", "low": 1, "high": 2}
    content["document"]["widht"] = 1
    assert probe(
        Space.from_dict(content), input_shape=(8, 8, 1), n_classes=10, corners=False
    ).unread == ("widht",)


WRONG = """
import keras

def build(params, *, input_shape, n_classes):
    units = params["unit"] if params["kind"] == "misspelt" else 4
    ends = {"logits": [n_classes, None], "sigmoid": [n_classes, "sigmoid"], "wide": [7, "softmax"]}
    width, activation = ends.get(params["kind"], [n_classes, "softmax"])
    middle = [keras.layers.Flatten(), keras.layers.Dense(units)]
    model = keras.Sequential([*middle, keras.layers.Dense(width, activation)])
    if params["kind"] == "compiles":
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model
"""


def test_each_network_is_looked_at_and_what_is_wrong_is_told_by_the_users_own_line(
    here: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wrong_nets.py").write_text(WRONG)
    monkeypatch.syspath_prepend(tmp_path)
    content = load_space(find_space("mlp")).as_dict() | {"model": "wrong_nets:build"}
    content["params"]["kind"] = {
        "type": "choice",
        "choices": ["plain", "misspelt", "wide", "logits", "sigmoid", "compiles"],
    }
    content["document"]["kind"] = "plain"
    report = probe(Space.from_dict(content), input_shape=(8, 8, 1), n_classes=10, corners=False)
    why = report.unbuildable["kind"]
    assert list(why) == ['"misspelt"', '"wide"']
    assert why['"misspelt"'].startswith(f"{tmp_path / 'wrong_nets.py'}:5: ")
    assert why['"misspelt"'].endswith("did you mean 'units'?")
    assert "10 units" in why['"wide"']
    messages = [remark for remark in report.remarks if remark.startswith("with some settings, ")]
    assert [
        word in remark
        for word, remark in zip(("logits", "sigmoid", "compile()"), messages, strict=True)
    ] == [True] * 3


def test_a_shipped_space_is_sound_and_has_no_dead_parameter(here: None) -> None:
    lines, sound = check_space(find_space("convNN"), None)
    assert sound
    assert not [line for line in lines if "warning" in line or "can't be built" in line]


def test_the_lists_of_models_and_data_sets_say_what_the_documents_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    every = registry.names
    few = ["convNN_4", "convNN_7", "mlp"]
    assert {*few, "resnet", "backbone"} <= set(every(registry.MODELS))
    monkeypatch.setattr(
        registry, "names", lambda group: few if group == registry.MODELS else every(group)
    )
    rows = {row["name"]: row for row in model_rows()}
    assert rows["convNN_4"]["n_params"] == 3_163_426
    assert rows["convNN_7"]["published"]["value"] == 0.3764
    assert rows["mlp"]["published"]["split"] == "train"
    assert {row["name"] for row in dataset_rows()} >= {"digits", "fashion", "mnist"}


def test_starting_weights_are_tried_where_the_document_asks_for_them(
    wrong_weights: str, here: None
) -> None:
    space = load_space(find_space("vgg16_features"))
    with pytest.raises(InputError, match=rf"{wrong_weights}.*can't be read.*--fix weights=none"):
        probe(space, input_shape=(28, 28, 1), n_classes=10, corners=False, weights=True)


def leaves_a_daemon(params: Any, **facts: Any) -> None:
    nothing = subprocess.DEVNULL
    daemon = subprocess.Popen(
        ["sleep", "60"], start_new_session=True, stdin=nothing, stdout=nothing, stderr=nothing
    )
    raise ValueError(f"{daemon.pid} is a daemon")


def test_many_networks_are_built_at_once_and_each_says_why_it_can_not(wrong_weights: str) -> None:
    grey, small = (28, 28, 1), (8, 8, 1)
    questions = [
        Question("mlp", {"depth": 1, "units": 4}, small, 3),
        Question("convNN_7", {}, small, 10),
        Question("tests.nothing:here", {}, small, 10),
        Question(f"{__name__}:leaves_a_daemon", {}, small, 10),
        Question("vgg16_features", {"weights": "imagenet", "size": 32}, grey, 10),
        Question("vgg16_features", {"weights": "none", "size": 32}, grey, 10),
    ]
    n_params, errors = zip(*build_all(questions, weights=True), strict=True)
    assert n_params == (64 * 4 + 4 + 4 * 3 + 3, None, None, None, None, 14_714_688 + 267_786)
    parts = (None, "28×28", "tests.nothing", "a daemon", "weights=none", None)
    assert [
        (e is None) if part is None else part in str(e)
        for part, e in zip(parts, errors, strict=True)
    ] == [True] * 6
    assert not psutil.pid_exists(int(str(errors[3]).split()[-4]))


def test_the_sizes_that_ship_are_those_of_the_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = {row["name"]: row["n_params"] for row in model_rows(pytest.fail)}
    monkeypatch.setattr("search.training.catalogue.size_of", lambda *_: None)
    built = {row["name"]: row["n_params"] for row in model_rows()}
    assert shipped == built
    assert len(built) > 15
