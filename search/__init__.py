"""Gridless: hyperparameter search and benchmarking for Keras image classifiers, without the grid."""
