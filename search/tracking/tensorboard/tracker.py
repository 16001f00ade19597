"""TensorBoard as a tracker: a folder per trial under GRIDLESS_HOME/tensorboard, with its curves and
its row of the HParams table. TensorFlow is not needed.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.hparams.api_pb2 import Status
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from tensorboard.plugins.text.summary_v2 import text_pb

from search.files import write_text
from search.paths import home
from search.records import Epoch, Search, State, StudyRecord, TrialRecord
from search.study.settings import FINAL
from search.tracking import summaries
from search.tracking.protocol import GoneError, Ids
from search.tracking.tensorboard.event_file import EventFile
from search.tracking.titles import repeat_of

_UID = ".study"
"""The file that tells whose a study's folder is."""


class TensorBoardTracker:
    """Keeps studies where `tensorboard --logdir` shows them. See docs/trackers.md."""

    is_local = True

    def __init__(self, ids: Ids) -> None:
        self._ids = ids
        self._root = home() / "tensorboard"
        self.target = str(self._root)

    def trial_changed(
        self,
        study: StudyRecord,
        trial: TrialRecord,
        new: Sequence[Epoch],  # noqa: ARG002 (the file tells what it lacks)
    ) -> None:
        """Write what the trial's file lacks. Raises GoneError when the study's folder is gone."""
        reserved = self._ids.get(study.name)
        if reserved and not (self._root / reserved).is_dir():
            raise GoneError(study.name)
        values = summaries.measured(trial) if trial.state.is_final else {}
        _write(self._folder(study), study, trial, values)

    def study_ended(
        self,
        search: Search,
        files: Sequence[Path],  # noqa: ARG002 (TensorBoard shows none)
    ) -> None:
        """Write what came of `search`, and whatever of it is missing."""
        summary_of = summaries.of_search(search)
        self._write_all(search.study, summary_of)
        note = summary_of[None].tags.get("note") if None in summary_of else None
        if note:
            with EventFile(self._folder(search.study)) as file:
                n_trials = len(search.study.trials)  # with more, it is another one
                file.add_once(text_pb("result", note), summaries.time_of_last(search), n_trials)
        if search.finalists:
            self._write_all(search.finalists, summaries.of_replicates(search))

    def _write_all(
        self, study: StudyRecord, summary_of: Mapping[int | None, summaries.Summary]
    ) -> None:
        folder = self._folder(study)
        for trial in study.trials:
            is_summed_up = trial.state.is_final and trial.number in summary_of
            _write(folder, study, trial, summary_of[trial.number].values if is_summed_up else {})

    def _folder(self, study: StudyRecord) -> Path:
        """The study's folder, made if it is not there."""
        name = self._ids.get(study.name)
        if name is None:
            name = self._ids.reserve(study.name, None, self._free_name(study))
        folder = self._root / name
        if not (folder / _UID).exists():
            write_text(folder / _UID, study.uid)
        return folder

    def _free_name(self, study: StudyRecord) -> str:
        """A name that no other study's folder has, such as that of one deleted since."""
        name = study.name
        if name.endswith(FINAL):
            search = name.removesuffix(FINAL)
            name = f"{self._ids.get(search) or search}/finalists"
        owner = self._root / name / _UID
        if not owner.parent.exists() or (owner.exists() and owner.read_text() == study.uid):
            return name
        return f"{name}-{study.uid[:8]}"


def _write(
    folder: Path, study: StudyRecord, trial: TrialRecord, values: Mapping[str, float]
) -> None:
    """Write what `trial` came to so far, and its final `values`, where that is missing."""
    if not trial.params or not (trial.curve or trial.state.is_final):
        return
    at = trial.ended.timestamp() if trial.ended else _last(trial)
    began = trial.started.timestamp() if trial.started else at
    with EventFile(folder / _run_name(study, trial)) as file:
        file.add_once(hparams_pb(_params(study, trial), _group(study, trial), began), began)
        for epoch in trial.curve:
            measured = {**epoch.values, "seconds": epoch.seconds}
            file.add_scalars(_tagged("epoch", measured), epoch.step, epoch.at)
        best = trial.objective.best_key
        others = {name: value for name, value in values.items() if name != best}
        file.add_scalars(_tagged("final", others), trial.epochs, at)
        # Charts and columns are sorted by name: this comes first, without a section.
        if best in values and trial.best:
            file.add_scalars({best: values[best]}, trial.best.step, trial.best.at)
        if trial.state.is_final:
            file.add_once(_session_end(trial.state, at), at)


def _tagged(section: str, values: Mapping[str, float]) -> dict[str, float]:
    return {f"{section}/{name}": value for name, value in values.items()}


def _session_end(state: State, at: float) -> Summary:
    status = Status.STATUS_FAILURE if state is State.FAIL else Status.STATUS_SUCCESS
    end = HParamsPluginData(session_end_info=SessionEndInfo(status=status, end_time_secs=at))
    value = Summary.Value(
        tag=metadata.SESSION_END_INFO_TAG,
        metadata=metadata.create_summary_metadata(end),
        tensor=metadata.NULL_TENSOR,
    )
    return Summary(value=[value])


def _run_name(study: StudyRecord, trial: TrialRecord) -> str:
    repeat = repeat_of(study, trial)
    if repeat is None:
        return f"trial-{trial.number:04d}"
    setting = "setting" if repeat.source is None else f"trial-{repeat.source:04d}"
    return f"{setting}-seed-{repeat.seed}"


def _group(study: StudyRecord, trial: TrialRecord) -> str:
    """Trials of one group are one row of the HParams table, with the means of their metrics."""
    repeat = repeat_of(study, trial)
    setting = _run_name(study, trial)
    if repeat:
        setting = setting.removesuffix(f"-seed-{repeat.seed}")
    return f"{setting} of {study.name}"


def _params(study: StudyRecord, trial: TrialRecord) -> dict[str, bool | float | str]:
    params = trial.params if study.name.endswith(FINAL) else trial.trained_params
    return {
        name: value if isinstance(value, bool | int | float | str) else str(value)
        for name, value in params.items()
    }


def _last(trial: TrialRecord) -> float:
    return trial.curve[-1].at if trial.curve else time.time()
