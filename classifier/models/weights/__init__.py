"""Pretrained weights: where they come from, how their files are read, and the DVC output."""
