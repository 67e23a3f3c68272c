"""Bytes to pixels, pixels to views, logits to probabilities; NumPy and Pillow only."""
