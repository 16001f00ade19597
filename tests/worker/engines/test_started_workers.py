"""What a command's workers leave behind when the command is refused."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from search.errors import InputError, StudyError
from search.worker.engines.started_workers import started_workers


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where workers log that do nothing else."""
    logs = tmp_path / "study" / "logs"

    def start() -> None:
        logs.mkdir(parents=True, exist_ok=True)
        (logs / "worker-0.log").write_text("loaded")

    @contextmanager
    def workers(*_: Any) -> Iterator[Mock]:
        yield Mock(start=start)

    monkeypatch.setattr(
        "search.worker.engines.started_workers.engine_called",
        lambda _: SimpleNamespace(workers=workers),
    )
    return logs.parent


def end_with(folder: Path, error: Exception) -> None:
    with (
        pytest.raises(type(error)),
        started_workers(Mock(), Mock(), folder, holder="me", say=print),
    ):
        raise error


def test_a_refused_command_leaves_no_folder(folder: Path) -> None:
    end_with(folder, InputError("no such study"))
    assert not folder.exists()


def test_logs_stay_beside_what_was_there_and_after_work(folder: Path) -> None:
    end_with(folder, StudyError("a worker died"))
    end_with(folder, InputError("other settings"))
    assert (folder / "logs" / "worker-0.log").exists()
