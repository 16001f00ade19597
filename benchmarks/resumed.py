"""One study run through, the same study killed again and again: are the decisions the same?

python benchmarks/resumed.py [--trials 30] [--epochs 9] [--kill-every 12] [--strategy default]
One worker, one seed, digits. Prints what differs, trial by trial, and exits 1 if anything does.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from killed import run_killed

from search.records import TrialRecord
from search.study.storage.read import open_library, read_study

MOST_KILLS = 40


def command(arguments: argparse.Namespace) -> list[str]:
    flags = {
        "--n-trials": arguments.trials,
        "--epochs": arguments.epochs,
        "--strategy": arguments.strategy,
        "--seed": 7,
        "--workers": 1,
        "--threads": 1,
        "--finalists": 0,
        "--name": "resumed",
        "--fix": "batch_size=50",
    }
    words = [str(word) for pair in flags.items() for word in pair]
    return [
        sys.executable,
        "-c",
        "from search.cli import main; main()",
        "study",
        "mlp",
        "digits",
        *words,
        "--quiet",
    ]


def run(
    arguments: argparse.Namespace, home: Path, kill_every: float | None
) -> tuple[list[TrialRecord], int]:
    """The trials of the study in `home`, and how often it was killed."""
    url = f"sqlite:///{home}/studies.db"
    env = os.environ | {"GRIDLESS_HOME": str(home), "GRIDLESS_STORAGE": url}
    n_kills = run_killed(command(arguments), env, every_s=kill_every or None, most=MOST_KILLS)
    return list(read_study(open_library(url), "resumed").trials), n_kills


def facts(trial: TrialRecord) -> tuple[object, ...]:
    """What was decided and what came of it; when and how fast are left out."""
    return (
        trial.state,
        sorted(trial.params.items()),
        [(e.step, e.val_accuracy, e.values.get("val_loss")) for e in trial.curve],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--kill-every", type=float, default=12.0)
    parser.add_argument("--strategy", default="default")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        through, _ = run(arguments, Path(folder, "through"), None)
        killed, n_kills = run(arguments, Path(folder, "killed"), arguments.kill_every)
    differing = [a.number for a, b in zip(through, killed, strict=False) if facts(a) != facts(b)]
    states = {s: sum(t.state == s for t in killed) for s in sorted({t.state for t in killed})}
    n_epochs = [sum(len(t.curve) for t in trials) for trials in (through, killed)]
    print(
        f"{len(through)} trials run through, {len(killed)} with {n_kills} kills: {states}; epochs"
        f" {n_epochs}"
    )
    print(f"trials that differ: {differing or 'none'}")
    for number in differing[:2]:
        print(
            *(
                f"{name}: {facts(t[number])}"
                for name, t in (("through", through), ("killed", killed))
            ),
            sep="\n",
        )
    sys.exit(bool(differing) or len(through) != len(killed))


if __name__ == "__main__":
    main()
