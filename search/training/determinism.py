"""Operations that give the same bits every time, where a device would rather be quick."""

import os

import keras


def be_deterministic() -> None:
    """Let every operation of this process, on a GPU too, give the same bits from the same input.

    To be called after the seeds are set and before the first operation; it can't be taken back.
    Operations that have no such form raise an error of the framework when they are used. On a CPU
    it changes rounding and nothing else: trials are repeatable there without it
    (docs/measurements.md).
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf  # noqa: PLC0415  other backends run without it

        tf.config.experimental.enable_op_determinism()
    elif keras.backend.backend() == "jax":
        # XLA reads it with the first operation, not when JAX is imported.
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_deterministic_ops=true".strip()
