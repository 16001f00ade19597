"""A study's data on this machine: as prepared before, or loaded and prepared again."""

import logging
from collections.abc import Mapping
from dataclasses import replace

from search import registry
from search.datasets import load
from search.datasets.split import Prepared, find_prepared, prepare
from search.errors import StudyError
from search.paths import cache
from search.pickled import pickled_problem
from search.study.spec import StudySpec
from search.user_code import code_difference, user_code

logger = logging.getLogger(__name__)


def data_for(spec: StudySpec) -> Prepared:
    """The prepared data of a study, whose test folder is known only if the study's replicates are
    scored on it.

    Raises InputError when the data can't be found on this machine, StudyError when it is other
    data, or the model is not here or other code.
    """
    if problem := model_problem(spec.model) or code_problem(spec, user_code(spec.model)):
        raise StudyError(f"study {spec.name!r} can't be served on this machine: {problem}")
    seed, fraction = spec.seed, spec.validation_fraction
    prepared = find_prepared(
        spec.data, spec.data_digest, seed=seed, validation_fraction=fraction, cache=cache()
    )
    if prepared is None:
        logger.info("preparing %s for study %s", spec.data_source, spec.name)
        prepared = prepare(
            load(spec.data_source),
            seed=seed,
            validation_fraction=fraction,
            cache=cache(),
        )
        prepared = replace(prepared, use=None)  # each trial uses it on its own
    if prepared.digest != spec.data_digest:
        rule = (
            f"study {spec.name!r} can't be served on this machine: {spec.data_source} holds other"
            " data here"
        )
        raise StudyError(
            f"{rule} (digest {prepared.digest[:12]}, the study's {spec.data_digest[:12]}); copy it"
            " over"
        )
    # Those that replay a pilot come later.
    tests = any(replicate.evaluate == "test" or replicate.is_pilot for replicate in spec.replicates)
    return prepared if tests else replace(prepared, test_folder=None)


def code_problem(spec: StudySpec, here: Mapping[str, str]) -> str | None:
    """Why no trial of a study may be trained where its model's code is `here`, or None."""
    if registry.pickled_digest(spec.model):  # whose name says what its code is
        return pickled_problem(spec.model)
    if spec.code is None or not (changes := code_difference(spec.code, here)):
        return None
    remedy = (
        "undo that, or let its `gridless study` or `submit` command go on with --allow-changed-code"
    )
    return f"the code of model {spec.model} is not the study's ({changes}); {remedy}"


def model_problem(model: str) -> str | None:
    """Why `model` can't be built here, as far as that shows without a framework; or None."""
    module, colon, _ = model.partition(":")
    if (problem := registry.check_name(registry.MODELS, model)) or not colon:
        return problem
    if registry.pickled_digest(model):
        return pickled_problem(model)
    top = module.partition(".")[0]
    if registry.spec_of(top):
        return None
    return (
        f"model {model}: there is no module {top!r}; install it here, or start the worker where"
        " it is"
    )
