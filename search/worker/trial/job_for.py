"""What a trial's process is given to train, for whoever trains it. Pure."""

from dataclasses import replace

from search.artifacts import join
from search.bounds import FACTS, early_bounds
from search.datasets.split import Prepared
from search.records import TrialRecord
from search.space.hyper_choices import for_builder
from search.study.finalists import keeps_model, replicate_file
from search.study.spec import StudySpec
from search.training.job import Job


def job_for(
    spec: StudySpec,
    data: Prepared,
    trial: TrialRecord,
    *,
    checkpoint: str,
    evidence: str,
    cache: str,
) -> Job:
    """The job of `trial`, a started trial of the study `spec`, on its prepared `data`.

    It keeps its state in the file `checkpoint` and what people look at in the folder `evidence`,
    both a path or a store's URL; `cache` is a folder. Only a replicate that is scored on the test
    set is told where that is.
    """
    job = Job(
        model=spec.model,
        params=for_builder(trial.params, spec.space.get("source")),
        seed=trial.seed or 0,
        total_epochs=trial.total_epochs or 1,
        data=str(data.folder),
        input_shape=data.input_shape,
        n_classes=data.n_classes,
        pixel_max=data.pixel_max,
        checkpoint=checkpoint,
        evidence=evidence,
        number=trial.number,
        loop=spec.loop,
        cache=cache,
        precision=spec.precision,
        task=spec.task,
        objective=spec.objective[0],
        others=tuple(text for text in spec.objective[1:] if text not in FACTS),
        deterministic=spec.deterministic,
    )
    replicate = spec.replicate(trial.number)
    if replicate is None:
        return replace(job, at_most=early_bounds(spec.bounds), measures=_measures(spec))
    return replace(
        job,
        total_epochs=replicate.epochs,
        measures=_measures(spec),
        stop_at=replicate.stop_at,
        rates=replicate.rates,
        train_on=replicate.train_on,
        evaluate=replicate.evaluate,
        test_data=str(data.test_folder) if replicate.evaluate == "test" else None,
        model_file=(
            join(evidence, replicate_file(trial.number))
            if keeps_model(spec.replicates, trial.number)
            else None
        ),
    )


def _measures(spec: StudySpec) -> tuple[str, ...]:
    """What takes time to be measured, and only where the study asks for it."""
    facts = {*(bound.fact for bound in spec.bounds), *spec.objective}
    return ("latency_ms",) if "latency_ms" in facts else ()
