"""The columns of a suite's comparison.csv, in order."""

SUITE_COLUMNS = [
    "suite",
    "model",
    "data",
    "published",
    "published_split",
    "accuracy_mean",
    "accuracy_ci_low",
    "accuracy_ci_high",
    "split",
    "n_replicates",
    "difference",
    "n_params",
    "epochs",
    "published_epochs",
    "seconds_per_epoch",
    "device",
    "note",
]
