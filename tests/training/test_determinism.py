"""Deterministic operations, asked for by a job and by no other."""

import os
from pathlib import Path

import keras
import pytest
import tensorflow as tf

from search.training.determinism import be_deterministic
from search.training.job import Job
from search.training.network import build_network


def test_a_job_asks_for_deterministic_operations_after_its_seed_is_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done: list[str] = []
    seeded = keras.utils.set_random_seed
    monkeypatch.setattr(
        keras.utils, "set_random_seed", lambda seed: (done.append("seed"), seeded(seed))
    )
    monkeypatch.setattr(
        tf.config.experimental, "enable_op_determinism", lambda: done.append("determinism")
    )
    for deterministic in (False, True):
        facts = {
            "deterministic": deterministic,
            "checkpoint": "",
            "evidence": "",
            "data": str(tmp_path),
        }
        job = Job(
            model="mlp",
            params={"units": 4},
            seed=1,
            total_epochs=1,
            input_shape=(8, 8, 1),
            n_classes=2,
            **facts,
        )
        build_network(job)
    assert done == ["seed", "seed", "determinism"]


def test_under_jax_xla_is_told_and_keeps_what_else_it_was_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.setenv("XLA_FLAGS", "--xla_one=1")
    be_deterministic()
    assert os.environ["XLA_FLAGS"] == "--xla_one=1 --xla_gpu_deterministic_ops=true"
