"""Hyperparameter search as DVC experiments."""
