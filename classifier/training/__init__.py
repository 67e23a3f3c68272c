"""One optimisation run."""
