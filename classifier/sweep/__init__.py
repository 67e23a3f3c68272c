"""Hyperparameter search as DVC experiments, and cross-validation."""
