"""What can't be measured on the examples at hand is told before a search."""

from pathlib import Path

import numpy as np
import pytest

from search.errors import InputError
from search.objectives import objective_of
from search.records import Task
from search.space.space import Space
from search.training.objectives_tried import check_objectives
from search.training.probe import probe

NAMES = ("ant", "bee", "cat")
WITHOUT_CAT = np.array([0, 1, 1, 0])
OF_ONE = np.array([1, 1, 1, 1])


def checked(name: str, task: Task = Task.CLASSIFICATION, **parts: np.ndarray) -> list[str]:
    return check_objectives([objective_of(name)], [], task, NAMES, parts)


def test_an_auc_without_a_class_is_noted() -> None:
    [note] = checked("roc_auc", validation=WITHOUT_CAT, test=np.arange(3))
    fact = "none or all of the validation examples are cat"
    assert note == f"{fact}: roc_auc is the mean over the others"
    assert checked("accuracy", validation=WITHOUT_CAT) == []
    labels = np.array([[1, 1, 0], [1, 0, 0]])
    [note] = checked("roc_auc", Task.MULTILABEL, test=labels)
    assert "test examples are ant, cat" in note


@pytest.mark.parametrize(
    ("part", "remedy"), [("validation", "give others as x_val"), ("test", "give --finalists 0")]
)
@pytest.mark.parametrize("name", ["roc_auc", "cohen_kappa"])
def test_what_examples_of_one_class_have_not_is_refused_with_the_remedy(
    name: str, part: str, remedy: str
) -> None:
    with pytest.raises(InputError) as refused:
        checked(name, **{part: OF_ONE})
    [problem] = refused.value.problems
    rule = f"objective: of made-up predictions for the {part} examples, {name} returned nan"
    assert problem.startswith(rule)
    assert f"none or all of the {part} examples are ant, bee, cat" in problem
    assert remedy in problem


def test_a_function_that_needs_every_class_is_refused() -> None:
    name = "tests.training.of_tasks:of_every_class:max"
    assert checked(name, validation=np.arange(3)) == []
    with pytest.raises(InputError, match=r"no example of 2.* validation examples are cat"):
        checked(name, validation=WITHOUT_CAT)


def test_numbers_are_tried_as_they_are() -> None:
    with pytest.raises(InputError, match="for the validation examples, r2 "):
        check_objectives(
            [objective_of("r2")], [], Task.REGRESSION, ["price"], {"validation": np.ones((1, 1))}
        )


@pytest.mark.slow
def test_a_probe_measures_the_targets_at_hand(tmp_path: Path) -> None:
    file = tmp_path / "y_val.npy"
    np.save(file, WITHOUT_CAT)
    content = {"learning_rate": {"type": "constant", "value": 0.05}}
    space = Space.from_dict(
        {
            "model": "tests.training.of_tasks:linear",
            "params": content,
            "document": {"learning_rate": 0.05},
        }
    )
    report = probe(
        space,
        input_shape=(6,),
        n_classes=3,
        objectives=["roc_auc"],
        parts={"validation": file},
        class_names=NAMES,
    )
    assert any("examples are cat: roc_auc is the mean" in remark for remark in report.remarks)
