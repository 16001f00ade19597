"""What is read back of a trial's state, and what is not believed."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from search.training import checkpoint as module
from search.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

STATE = Checkpoint(
    fingerprint="f",
    history=({"step": 1, "loss": 0.1 + 0.2, "val_accuracy": None},),
    model=(np.arange(6, dtype=np.float32).reshape(2, 3), np.array(7, np.int64)),
    optimizer=(np.array([0.5, np.nan], np.float16),),
)


@pytest.mark.parametrize("root", ["", "memory://"])
def test_a_state_is_read_back_bit_for_bit_wherever_it_was_kept(root: str, tmp_path: Path) -> None:
    location = f"{root}{tmp_path}/checkpoints/trial-0000.npz"
    assert load_checkpoint(location, "f") is None
    save_checkpoint(location, replace(STATE, history=()))
    save_checkpoint(location, STATE)
    restored = load_checkpoint(location, "f")
    assert restored is not None
    assert (restored.fingerprint, restored.history) == ("f", STATE.history)
    for kept, given in zip(
        [*restored.model, *restored.optimizer], [*STATE.model, *STATE.optimizer], strict=True
    ):
        assert (kept.dtype, kept.shape, kept.tobytes()) == (
            given.dtype,
            given.shape,
            given.tobytes(),
        )
    assert load_checkpoint(location, "another setting") is None


def test_a_file_with_any_byte_changed_or_any_end_torn_off_is_ignored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An archive's own checksums let through a changed name, size, compression or shape."""
    file = tmp_path / "1.npz"
    save_checkpoint(file, STATE)
    whole = file.read_bytes()
    damaged = [whole[:n] for n in range(0, len(whole), 17)]
    damaged += [
        whole[:n] + bytes([whole[n] ^ 1 << n % 8]) + whole[n + 1 :] for n in range(len(whole))
    ]
    damaged += [whole + b"\0", whole * 2, bytes(len(whole))]
    logging.getLogger(module.__name__).setLevel(logging.CRITICAL)  # thousands of the same warning
    for content in damaged:
        file.write_bytes(content)
        assert load_checkpoint(file, "f") is None
    logging.getLogger(module.__name__).setLevel(logging.NOTSET)
    assert load_checkpoint(file, "f") is None
    assert "is torn" in caplog.text
    file.write_bytes(whole)
    assert load_checkpoint(file, "f") is not None


def test_what_can_not_be_read_now_is_not_taken_for_torn(tmp_path: Path) -> None:
    """Else a network's hiccup would make a trial begin again."""
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(IsADirectoryError):
        load_checkpoint(tmp_path / "folder.npz", "f")


def test_a_full_disk_leaves_the_older_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path / "1.npz", STATE)
    before = (tmp_path / "1.npz").read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(tmp_path / "1.npz", replace(STATE, history=()))
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [before]
