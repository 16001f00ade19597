"""A study of two trials with its finalists, as a search leaves it: rows in a storage, and files in
its folder.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from search.study.finalists import final_spec
from search.study.storage.claim import WorkerIdentity
from search.study.storage.ledger import Ledger
from search.study.storage.optuna_storage import LedgerStorage
from tests.study.helpers import begin, epoch, spec

ME = WorkerIdentity.me("me")
CLASSES = ("nought", "=one", "two")
SHAPE = (4, 6, 1)
RIGHT = np.array([0, 1, 2, 2, 1, 0])
"""The test images' classes."""


def keep(
    storage: LedgerStorage,
    home: Path,
    name: str = "mine",
    *,
    n_replicates: int = 1,
    trackers: tuple[str, ...] | None = None,
    **changes: object,
) -> Ledger:
    """Search, train the finalists again and write what people look at: 300 kB of it a
    checkpoint.
    """
    settings = {"name": name, "n_trials": 2, "finalists": 1, "n_replicates": n_replicates} | changes
    ledger = Ledger.open(storage, spec(**settings), {"python": "3.11"}, trackers=trackers)
    for values in ([0.5, 0.7], [0.6, 0.9]):
        ledger.complete(begin(ledger, ME, values), values[-1], n_params=99)
    folder = home / name
    write(folder / "report.html", "<p>it was good")
    write(folder / "leaderboard.csv", "rank\n1\n")
    write(folder / "study.yaml", "model: mlp\n")
    write(folder / "figures" / "history.html", "a figure")
    write(folder / "logs" / "trial-0000.log", "epoch 1\n" * 1000)
    write(folder / "checkpoints" / "trial-0000.npz", "c" * 300_000)
    samples(folder / "evidence" / "samples.npz")
    if wanted := final_spec(ledger.spec, ledger.trials()):
        replicate(Ledger.open(storage, wanted, {}), home)
    return ledger


def replicate(final: Ledger, home: Path) -> None:
    """Train every replicate: of the best trial they miss one test image, of the document's setting
    two.
    """
    for number, repeated in enumerate(final.spec.replicates):
        claim = final.claim(ME)
        assert claim is not None
        n_wrong = 2 if repeated.source == 0 else 1
        found = {
            "split": "test",
            "accuracy": 1 - n_wrong / len(RIGHT),
            "loss": 0.3,
            "n": len(RIGHT),
        }
        final.start(claim, repeated.setting, seed=repeated.seed)
        final.complete(claim, found["accuracy"], [epoch(1, 0.5)], evaluation=found)
        predictions(
            home / final.name / "evidence" / f"trial-{number:04d}.npz", wrong=range(n_wrong)
        )


def predictions(path: Path, wrong: Sequence[int]) -> None:
    """What a replicate said of the test images."""
    said = RIGHT.copy()
    said[list(wrong)] = (said[list(wrong)] + 1) % 3
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        split=np.array("test"),
        step=np.array(1),
        true=RIGHT.astype(np.uint16),
        predicted=said.astype(np.uint16),
        confidence=np.ones(len(RIGHT), np.float32),
        wrong_index=np.array(list(wrong)),
        wrong_images=np.zeros((len(wrong), *SHAPE), np.uint8),
    )


def samples(path: Path) -> None:
    """A training image of each class."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = np.zeros((len(CLASSES), 1, *SHAPE), np.uint8)
    np.savez(path, images=images, class_names=np.array(CLASSES), counts=np.array([2, 2, 2]))


def write(path: Path, text: str) -> None:
    """Write a file, and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
