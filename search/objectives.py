"""What a search can be for: each metric by its name, with its direction and how it is measured.

Those that scikit-learn has are measured by scikit-learn, which is imported once one is asked for.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.bounds import FACTS
from search.errors import InputError
from search.records import Objective, Task
from search.registry import nearest

Floats = NDArray[Any]
Truth = NDArray[Any]
"""int (n,) of classes, int (n, n_classes) of several labels, float (n, width) of numbers."""
Measure = Callable[[Truth, Floats], float]
"""(y_true, y_pred) → the value; y_pred (n, n_classes) are probabilities, (n, width) numbers."""
Examples = Callable[[Truth, Floats], Floats]
"""(y_true, y_pred) → each example's share (n,), of which the metric is the mean."""

_LEAST = 1e-7
_TOP = 5
_CLASSES = frozenset({Task.CLASSIFICATION, Task.BINARY})
_LABELS = _CLASSES | {Task.MULTILABEL}
_NUMBERS = frozenset({Task.REGRESSION})


@dataclass(frozen=True)
class Metric:
    """How one objective is measured on validation or test examples."""

    title: str
    tasks: frozenset[Task]
    measure: Measure
    is_maximized: bool = True
    is_fraction: bool = True
    examples: Examples | None = None
    """None for what is no mean over examples."""


def _mean(examples: Examples) -> Measure:
    return lambda y_true, y_pred: float(examples(y_true, y_pred).mean())


def _metric(title: str, tasks: frozenset[Task], examples: Examples, **options: Any) -> Metric:
    return Metric(title, tasks, _mean(examples), examples=examples, **options)


def decided(y_pred: Floats, task: Task) -> NDArray[Any]:
    """What probabilities decide: the class (n,), or of several labels those from ½ on."""
    if task is Task.MULTILABEL:
        return np.asarray(y_pred >= 0.5, dtype=np.int64)
    return np.asarray(y_pred.argmax(axis=1))


def _hits(y_true: Truth, y_pred: Floats) -> Floats:
    if y_true.ndim == 1:
        return np.asarray((y_pred.argmax(axis=1) == y_true).astype(np.float64))
    return np.asarray(((y_pred >= 0.5) == y_true).mean(axis=1))


def _top_5(y_true: Truth, y_pred: Floats) -> Floats:
    of_true = y_pred[np.arange(len(y_true)), y_true]
    return np.asarray(((y_pred > of_true[:, None]).sum(axis=1) < _TOP).astype(np.float64))


def log_losses(y_true: Truth, y_pred: Floats) -> Floats:
    """The cross-entropy of each example in nats, of several labels their mean."""
    # Not by NumPy's clip, which would turn a NaN into a number.
    if y_true.ndim == 1:
        of_true = y_pred[np.arange(len(y_true)), y_true].astype(np.float64)
        return np.asarray(-np.log(np.maximum(of_true, _LEAST)))
    of_true = np.where(y_true == 1, y_pred, 1.0 - y_pred.astype(np.float64))
    return np.asarray(-np.log(np.maximum(of_true, _LEAST)).mean(axis=1))


def _squared(y_true: Truth, y_pred: Floats) -> Floats:
    return np.asarray(((y_pred.astype(np.float64) - y_true) ** 2).mean(axis=1))


def _absolute(y_true: Truth, y_pred: Floats) -> Floats:
    return np.asarray(np.abs(y_pred.astype(np.float64) - y_true).mean(axis=1))


def _relative(y_true: Truth, y_pred: Floats) -> Floats:
    # As scikit-learn has it: a fraction of the true number, which is kept off 0.
    least = np.maximum(np.abs(y_true), np.finfo(np.float64).eps)
    return np.asarray((np.abs(y_pred.astype(np.float64) - y_true) / least).mean(axis=1))


def _of_classes(name: str, **options: Any) -> Measure:
    """The metric `name` of scikit-learn, of what is decided."""

    def measure(y_true: Truth, y_pred: Floats) -> float:
        from sklearn import metrics  # noqa: PLC0415  takes a second, for these metrics only

        task = Task.CLASSIFICATION if y_true.ndim == 1 else Task.MULTILABEL
        return float(getattr(metrics, name)(y_true, decided(y_pred, task), **options))

    return measure


def one_sided(y_true: Truth, n_classes: int) -> NDArray[np.int64]:
    """The classes or labels that none of the examples are of, or all: they have no ROC curve."""
    is_one_each = y_true.ndim == 1
    counts = np.bincount(y_true, minlength=n_classes) if is_one_each else y_true.sum(axis=0)
    return np.flatnonzero((counts == 0) | (counts == len(y_true)))


def _roc_auc(y_true: Truth, y_pred: Floats) -> float:
    """The mean over the classes or labels that have a curve; NaN where none has."""
    from sklearn.metrics import roc_auc_score  # noqa: PLC0415

    n_classes = y_pred.shape[1]
    curved = np.setdiff1d(np.arange(n_classes), one_sided(y_true, n_classes))
    if not len(curved):
        return math.nan
    if y_true.ndim == 1 and n_classes == 2:
        return float(roc_auc_score(y_true, y_pred[:, 1]))
    one_hot = y_true if y_true.ndim == 2 else np.eye(n_classes, dtype=int)[y_true]
    return float(roc_auc_score(one_hot[:, curved], y_pred[:, curved], average="macro"))


def _cohen_kappa(y_true: Truth, y_pred: Floats) -> float:
    """NaN of examples of one class, which chance alone may tell as well, whatever is predicted."""
    is_of_one = bool((y_true == y_true[0]).all())
    return math.nan if is_of_one else _of_classes("cohen_kappa_score")(y_true, y_pred)


def _r2(y_true: Truth, y_pred: Floats) -> float:
    from sklearn.metrics import r2_score  # noqa: PLC0415

    return float(r2_score(y_true, y_pred))


N_GROUPS = 200
"""Into how many groups the examples fall where each is left out in turn."""


def shares(
    measure: Measure, y_true: Truth, y_pred: Floats, examples: Examples | None = None
) -> NDArray[np.float32]:
    """Parts that a value is the mean of, float32: so intervals need not know what was measured.

    Where a metric is a mean over `examples`, each one’s share (n,). Of any other the jackknife’s
    pseudo-values G·v − (G − 1)·v₋g over G = min(n, N_GROUPS) groups, (G,), of which group g has the
    examples g, g + G … in their order: those of two networks on the same examples are pairs. NaN
    where `measure` has no value or raises without a group. Source: Efron & Stein, "The jackknife
    estimate of variance", Ann. Statist. 9 (1981), 586–596.
    """
    if examples is not None:
        return np.asarray(examples(y_true, y_pred), dtype=np.float32)
    n_groups = min(len(y_true), N_GROUPS)
    groups = np.arange(len(y_true)) % n_groups
    whole = measure(y_true, y_pred)
    without = np.array([_without(measure, y_true, y_pred, groups != g) for g in range(n_groups)])
    return np.asarray(n_groups * whole - (n_groups - 1) * without, dtype=np.float32)


def is_mean(objective: Objective) -> bool:
    """Whether its value is the mean of its examples’ shares."""
    metric = METRICS.get(objective.name)
    return metric is not None and metric.examples is not None


def _without(measure: Measure, y_true: Truth, y_pred: Floats, kept: NDArray[np.bool_]) -> float:
    try:
        return float(measure(y_true[kept], y_pred[kept]))
    except Exception:  # a user's function may raise anything, and has measured all of them already
        return math.nan


METRICS: Mapping[str, Metric] = {
    "accuracy": _metric("accuracy", _LABELS, _hits),
    "balanced_accuracy": Metric(
        "balanced accuracy", _CLASSES, _of_classes("balanced_accuracy_score")
    ),
    "f1_macro": Metric(
        "macro F1", _LABELS, _of_classes("f1_score", average="macro", zero_division=0.0)
    ),
    "top_5_accuracy": _metric("top-5 accuracy", frozenset({Task.CLASSIFICATION}), _top_5),
    "log_loss": _metric("log loss", _LABELS, log_losses, is_maximized=False, is_fraction=False),
    "roc_auc": Metric("ROC AUC", _LABELS, _roc_auc, is_fraction=False),
    "cohen_kappa": Metric("Cohen’s kappa", _CLASSES, _cohen_kappa, is_fraction=False),
    "mcc": Metric("MCC", _CLASSES, _of_classes("matthews_corrcoef"), is_fraction=False),
    "mse": _metric("mean squared error", _NUMBERS, _squared, is_maximized=False, is_fraction=False),
    "mae": _metric(
        "mean absolute error", _NUMBERS, _absolute, is_maximized=False, is_fraction=False
    ),
    "mape": _metric(
        "mean relative error", _NUMBERS, _relative, is_maximized=False, is_fraction=False
    ),
    "r2": Metric("R²", _NUMBERS, _r2, is_fraction=False),
}
_OF_KERAS = {
    True: "accuracy auc precision recall f1_score f_beta_score r2_score cosine_similarity"
    " binary_accuracy categorical_accuracy sparse_categorical_accuracy top_k_categorical_accuracy"
    " sparse_top_k_categorical_accuracy precision_at_recall recall_at_precision"
    " sensitivity_at_specificity specificity_at_sensitivity mean_io_u one_hot_io_u"
    " concordance_correlation pearson_correlation true_positives true_negatives",
    False: "loss binary_crossentropy categorical_crossentropy sparse_categorical_crossentropy hinge"
    " squared_hinge categorical_hinge kl_divergence poisson log_cosh log_cosh_error mae mse mape"
    " msle rmse mean_absolute_error mean_squared_error root_mean_squared_error"
    " mean_absolute_percentage_error mean_squared_logarithmic_error false_positives"
    " false_negatives",
}
OF_KERAS = {name: is_more for is_more, names in _OF_KERAS.items() for name in names.split()}
"""Keras' metrics by the names that it logs them under, and whether more is better."""
_OF_NUMBERS = """loss poisson log_cosh log_cosh_error mae mse mape msle rmse
    mean_absolute_error mean_squared_error root_mean_squared_error mean_absolute_percentage_error
    mean_squared_logarithmic_error r2_score cosine_similarity concordance_correlation
    pearson_correlation"""
"""Those of them that compare numbers; the others want classes."""
_CLASSES_OF_KERAS = {name.replace("_", ""): name for name in OF_KERAS}
_LOGGED = {f"val_{name}" for name in OF_KERAS}
OF_NETWORKS = ("n_params", "model_mb", "latency_ms", "epoch_s", "peak_device_mb")
"""Facts of networks that may be searched for beside a metric, the less the better."""
MOST_OBJECTIVES = 4
DEFAULTS = {Task.REGRESSION: "mse"}
"""What a search of each task is for unless it says; of the others, accuracy."""
_WAYS = {"max": True, "min": False}


def default_objective(task: Task) -> Objective:
    """What a search of `task` is for unless it says."""
    return objective_of(DEFAULTS.get(task, "accuracy"))


def objective_of(text: str) -> Objective:
    """The objective that `text` names: a metric here, one of Keras’, `val_…` as the model logs it,
    or `package.module:function`, each with `:min` or `:max` where its direction isn't known.

    Raises InputError for an unknown name, and for a direction that is missing or is not the
    metric's.
    """
    name, _, way = text.strip().rpartition(":")
    if not name or way not in _WAYS:
        name, way = text.strip(), ""
    if not name.islower():  # Keras' class, AUC or MeanSquaredError
        name = _CLASSES_OF_KERAS.get(name.lower(), name)
    direction = _direction(name)
    if direction is not None and way and _WAYS[way] is not direction:
        rule = f"objective: {name} is made {'larger' if direction else 'smaller'}, not :{way}"
        raise InputError(f"{rule}; write {name}")
    if direction is None and not way:
        rule = f"objective: whether more of {name} is better isn't known"
        raise InputError(f"{rule}; write {name}:max or {name}:min")
    is_maximized = _WAYS[way] if direction is None else direction
    if name in FACTS:
        return Objective(name, is_maximized, FACTS[name].title, is_fraction=False, is_fact=True)
    metric = METRICS.get(name)
    if metric is None:
        return Objective(name, is_maximized, _title(name), is_fraction=False)
    return Objective(name, is_maximized, metric.title, metric.is_fraction)


def objective_problem(objective: Objective, task: Task, n_classes: int) -> str | None:
    """Why nothing of `task` can be searched for `objective`, as a sentence; None if it can.

    Nothing is said of `val_…` and of functions: the network, or a call, shows whether they fit.
    Facts of networks are measured of every task.
    """
    name = objective.name
    if objective.is_fact or is_function(name) or name.startswith("val_"):
        return None
    metric = METRICS.get(name)
    if metric is not None:
        fits = task in metric.tasks
    else:
        fits = task is not Task.REGRESSION or name in _OF_NUMBERS.split()
    if not fits:
        others = [other for other in METRICS if task in METRICS[other].tasks]
        rule = f"objective: {name} does not measure {task}"
        return f"{rule}; take {', '.join(others)} or your own as package.module:function"
    if name == "top_5_accuracy" and n_classes <= _TOP:
        rule = f"objective: {name} is 1 for {n_classes} classes, whatever a network says"
        return f"{rule}; take accuracy"
    return None


def objectives_of(texts: Sequence[str]) -> tuple[Objective, ...]:
    """The objectives that `texts` name, the first one to rank by.

    Raises InputError with every problem: of a name, of one that comes twice, of a first one that no
    epoch shows, and of more than MOST_OBJECTIVES.
    """
    objectives: list[Objective] = []
    problems: list[str] = []
    for text in texts:
        try:
            objectives.append(objective_of(text))
        except InputError as error:
            problems += error.problems
    names = [objective.name for objective in objectives]
    if len(set(names)) < len(names):
        problems.append(f"objective: {', '.join(names)} has one twice; give each once")
    if len(texts) > MOST_OBJECTIVES:
        rule = f"objective: {len(texts)} are more than {MOST_OBJECTIVES}"
        problems.append(f"{rule}; make bounds of some, with at_most")
    if objectives and objectives[0].is_fact:
        rule = f"objective: {names[0]} comes first, but epochs don't show it"
        problems.append(f"{rule}; begin with a metric, such as accuracy")
    if problems:
        raise InputError(problems)
    return tuple(objectives)


def text_of(objective: Objective) -> str:
    """What `objective_of` makes `objective` of."""
    if _direction(objective.name) is not None:
        return objective.name
    return f"{objective.name}:{'max' if objective.is_maximized else 'min'}"


def _direction(name: str) -> bool | None:
    """Whether more of `name` is better; None where only its user knows."""
    if name in METRICS:
        return METRICS[name].is_maximized
    if name in OF_NETWORKS:
        return False
    if is_function(name) and not EntryPoint.pattern.fullmatch(name):
        raise InputError(f"objective: {name!r} must be written as package.module:function")
    if is_function(name) or (name.startswith("val_") and name not in _LOGGED):
        return None
    if name in OF_KERAS or name in _LOGGED:
        return OF_KERAS[name.removeprefix("val_")]
    nearby = nearest(name, [*METRICS, *OF_NETWORKS, *OF_KERAS, *_LOGGED])
    rule = f"objective: {name!r} is not known; {nearby}"
    raise InputError(f"{rule} or your own as package.module:function")


def is_function(name: str) -> bool:
    """Whether an objective's name is that of a function, `package.module:function`."""
    return ":" in name


def _title(name: str) -> str:
    if is_function(name):
        return name.rpartition(":")[2].replace("_", " ")
    return name.removeprefix("val_").replace("_", " ")
