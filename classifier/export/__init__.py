"""Write deployable files and prove them equal."""
